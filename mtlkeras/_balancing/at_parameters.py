"""How balancers by exact gradients of the shared parameters enter a training step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._backends import matmul, replica_count, sum_over_replicas
from mtlkeras._balancing.at_representation import GradientBalancing, products
from mtlkeras._balancing.graph import all_before_one_fork, shared_layers
from mtlkeras._balancing.watched_fork import WatchedFork
from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import all_layers
from mtlkeras.balancers.base import ElementBalancer, GradientBalancer, PairBalancer
from mtlkeras.heads.base import Head


class ParameterBalancing(GradientBalancing):
    """A balancer of the gradients of the parameters that several tasks train.

    Args:
        balancer: The balancer.
        heads: The model's heads by task.
        model: The model.

    Raises:
        ValueError: If the balancer names a layer that is not shared, or the model shares nothing.
    """

    own_step = "parameters"

    def __init__(self, balancer: GradientBalancer, heads: Mapping[str, Head], model: Any) -> None:
        super().__init__(balancer, heads)
        # Past Keras' tracking: the layers belong to the model.
        object.__setattr__(self, "_shared", shared_layers(model))
        if not self.shared:
            raise ValueError(
                f"balancer: {type(balancer).__name__} with at='parameters' needs trainable parameters that "
                "several tasks share; this model has none."
            )
        if balancer.one_task_each:
            _check_rows_are_independent(model, balancer)
        object.__setattr__(self, "_chosen", _named(self._shared, balancer))
        self.fork = WatchedFork() if all_before_one_fork(self.shared, model) else None
        buffered = isinstance(balancer, ElementBalancer) and balancer.buffered
        self.buffers = [
            self.add_weight(
                shape=(len(heads), math.prod(variable.shape)),
                initializer="zeros",
                trainable=False,
                aggregation="only_first_replica",
                name=f"buffer_{i}",
            )
            for i, variable in enumerate(self.shared if buffered else [])
        ]

    def at_fork(self) -> Any:
        return self.fork

    def draw(self) -> Any:
        if self.seed is not None and isinstance(self.balancer, ElementBalancer):
            return self.balancer.draw_elements(sum(math.prod(v.shape) for v in self.shared), self.seed)
        return super().draw()

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        return ops.sum(losses)  # In a training loop of the caller's own, where nothing is balanced.

    @property
    def shared(self) -> list[Any]:
        """The variables that several tasks train."""
        return _trained(self._shared)

    @property
    def chosen(self) -> list[Any]:
        """Those of them whose gradients are looked at."""
        return _trained(self._chosen)

    @property
    def combines(self) -> bool:
        """Whether the gradients that are looked at are those to combine."""
        return self.balancer.layers is None and self.balancer.gram_fraction == 1.0

    @property
    def in_halves(self) -> bool:
        """Whether the even and the odd rows of a batch are looked at by themselves."""
        return isinstance(self.balancer, PairBalancer)

    def weigh_and_combine(
        self, gradients: Sequence[Any], losses: Any, present: Any, noise: Any, scale: Any
    ) -> tuple[Any, list[Any], list[tuple[Any, Any]]]:
        """Returns weights, the combined gradients, and pairs of a variable and its new value.

        Args:
            gradients: For each variable of `chosen` this replica's part of the tasks' gradients, shape
                `(K, *variable)`.
            losses: This replica's part of the losses, shape `(K,)`.
            present: 1 where a task counts in this batch, else 0.
            noise: What `draw` gave.
            scale: What the losses were multiplied by for these gradients.
        """
        rows, losses = self._of_all_replicas(gradients), sum_over_replicas(losses)
        if isinstance(self.balancer, ElementBalancer):
            return self._combine_elements(rows, losses, present, noise, scale)
        nothing = ops.zeros((len(self.tasks), len(self.tasks)), "float32")
        gram = sum((products(r / scale) for r in rows), nothing)
        weights, after = self.decide(gram, losses, present, noise)
        return weights, self._weighted(weights, rows) if self.combines else [], after

    def weigh_and_combine_pair(
        self,
        gradients: Sequence[Sequence[Any]],
        losses: Sequence[Any],
        shares: Sequence[Any],
        present: Any,
        scale: Any,
    ) -> tuple[Any, list[Any], list[tuple[Any, Any]]]:
        """Returns what `weigh_and_combine` does, for two halves of a batch.

        Args:
            gradients: Of each half what `weigh_and_combine` takes.
            losses: Of each half, this replica's part of the losses, shape `(K,)`.
            shares: Of each half, its share in each task's labelled examples, shape `(K,)`.
            present: 1 where a task counts in this batch, else 0.
            scale: What the losses were multiplied by for these gradients.
        """
        first, second = (self._of_all_replicas(half) for half in gradients)
        products = [
            matmul(a / scale, b / scale, transpose_b=True) for a, b in zip(first, second, strict=True)
        ]
        mean = sum_over_replicas(sum(loss * share for loss, share in zip(losses, shares, strict=True)))
        weights, after = self.decide(sum(products[1:], products[0]), mean, present, None)
        one, two = (ops.expand_dims(share, -1) for share in shares)
        whole = [a * one + b * two for a, b in zip(first, second, strict=True)]
        return weights, self._weighted(weights, whole), after

    def _of_all_replicas(self, gradients: Sequence[Any]) -> list[Any]:
        """Returns the tasks' gradients of the whole batch as the rows of a float32 matrix by variable.

        Inner products of parts of a sum are not those of the sum.
        """
        # Sizes are the variables': TensorFlow may not know those of a gradient in a graph.
        shapes = [(len(self.tasks), math.prod(v.shape)) for v in self.chosen]
        pairs = zip(gradients, shapes, strict=True)
        return [sum_over_replicas(ops.reshape(ops.cast(g, "float32"), shape)) for g, shape in pairs]

    def _weighted(self, weights: Any, rows: list[Any]) -> list[Any]:
        own = ops.expand_dims(weights, 0)
        return self._handed_out([matmul(own, r) for r in rows])

    def _combine_elements(
        self, rows: list[Any], losses: Any, present: Any, noise: Any, scale: Any
    ) -> tuple[Any, list[Any], list[tuple[Any, Any]]]:
        memory = self.memory()
        problem = self.problem(losses, present, present, memory=memory, noise=noise)
        unscaled = ops.expand_dims(present, -1) / scale
        rows = [r * unscaled for r in rows]
        buffers = [ops.convert_to_tensor(buffer) for buffer in self.buffers]

        def combine() -> Any:
            answer = self.balancer.combine(problem, rows, buffers or [0.0] * len(rows))
            after = {**memory, **answer.memory, "weights": answer.weights}
            return after, list(answer.updates), list(answer.buffers)

        def as_without() -> Any:
            return {**memory, "weights": present}, [ops.sum(r, axis=0) for r in rows], buffers

        # What is not finite would stay in the buffers: then the step is that without a balancer.
        sums = sum(ops.sum(r, axis=-1) for r in rows) + problem.losses
        after, updates, kept = ops.cond(ops.all(ops.isfinite(sums)), combine, as_without)
        combined = self._handed_out([update * scale for update in updates])
        return after["weights"], combined, [*self.updates(after), *zip(self.buffers, kept, strict=True)]

    def _handed_out(self, updates: list[Any]) -> list[Any]:
        # The optimizer adds up what the replicas hand to it.
        return [
            ops.cast(ops.reshape(update, v.shape), v.dtype) / replica_count()
            for update, v in zip(updates, self.chosen, strict=True)
        ]


def _check_rows_are_independent(model: Any, balancer: GradientBalancer) -> None:
    name = f"balancer: {type(balancer).__name__} with one_task_each=True"
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"{name} makes parts of changing size, which needs the TensorFlow backend; "
            f"this is {keras.backend.backend()}."
        )
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            raise ValueError(
                f"{name} takes each batch apart by task, which batch normalisation (layer '{layer.name}') "
                "does not allow. Leave one_task_each out, or use another normalisation."
            )


def _named(layers: list[Any], balancer: GradientBalancer) -> list[Any]:
    if balancer.layers is None:
        return layers
    named: dict[str, list[Any]] = {}
    for layer in layers:
        # Those within a trunk go by their own names, as in `model.trunk.get_layer`; experts have the same.
        for inner in all_layers(layer):
            if inner.variables:
                named.setdefault(inner.name, []).append(inner)
    for name in balancer.layers:
        if name not in named:
            raise unknown_name("shared layer", name, named, f"layers= of {type(balancer).__name__}")
    return [layer for name in balancer.layers for layer in named[name]]


def _trained(layers: list[Any]) -> list[Any]:
    unique = {id(v): v for layer in layers for v in layer.trainable_variables}
    return list(unique.values())
