"""What changes between and within trainings of a compiled model: how it is compiled, what losses count."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from mtlkeras._keras_private import strategy_of
from mtlkeras.balancers import Balancer


class Compilation:
    """How a model is compiled.

    What trains is settled when a model is compiled: after a change of `trainable` it has to be again.

    Args:
        model: A `MultiTaskModel`.

    Raises:
        ValueError: If it is not compiled.
    """

    def __init__(self, model: Any) -> None:
        if not getattr(model, "compiled", False):
            raise ValueError(f"The model '{model.name}' is not compiled; call model.compile(...) first.")
        self._model = model
        self.optimizer = model.optimizer
        self._given = dict(model._task_config)
        self._settings = {
            "run_eagerly": model.run_eagerly,
            "jit_compile": model.jit_compile,
            "steps_per_execution": model.steps_per_execution,
            "auto_scale_loss": isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer),
        }
        self._skips = model.skip_non_finite

    @property
    def balancer(self) -> Balancer | None:
        """The balancer that was given."""
        return self._given["balancer"]

    @property
    def arguments(self) -> dict[str, Any]:
        """What `compile` was given, but for the optimizer."""
        return {**self._given, **self._settings}

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Opens the scope in which the model's variables are made, and its optimizers must be."""
        strategy = strategy_of(self._model)
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            yield

    def use(
        self, optimizer: Any, balancer: Balancer | None, loss_weights: Mapping[str, float] | None = None
    ) -> None:
        """Compiles the model.

        A balancer that is equal to the one at work goes on with what that remembers.

        Args:
            optimizer: The optimizer.
            balancer: The balancer, or `None`.
            loss_weights: Loss weights by task, in place of those that were given.
        """
        model, before = self._model, self._model.balancing
        weights = {**(self._given["loss_weights"] or {}), **(loss_weights or {})}
        model.compile(
            **{
                **self.arguments,
                "optimizer": optimizer,
                "balancer": balancer,
                "loss_weights": weights or None,
            }
        )
        if before is not None and model.balancing is not None and before.balancer == model.balancing.balancer:
            remembered: dict[str, Any] = {}
            before.save_own_variables(remembered)
            model.balancing.load_own_variables(remembered)
        model.skip_non_finite = self._skips


def set_loss_factors(model: Any, factors: Mapping[str, float]) -> None:
    """Sets by what loss weights are multiplied in training from now on; steps are traced anew once at most.

    Args:
        model: A compiled `MultiTaskModel`, which may be in training.
        factors: Factors by task; 1 for tasks that are left out.
    """
    strategy = strategy_of(model)
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        is_new = model._compile_metrics.set_loss_factors([factors.get(task, 1.0) for task in model.heads])
    if is_new and model.train_function is not None:
        model.make_train_function(force=True)


def logged_metrics(model: Any) -> dict[str, Any]:
    """Returns the metrics of a compiled model by their names in the logs."""
    return {metric.name: metric for metric in model._compile_metrics.metrics}
