"""JAX: a step sees the whole batch, since arrays are global under `keras.distribution`."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import jax
import keras
from jax import numpy as jnp

from mtlkeras._backends.jax.parameter_step import parameter_step
from mtlkeras._backends.jax.passes import changed_in, forward
from mtlkeras._backends.jax.representation_step import representation_step
from mtlkeras._keras_private import is_empty, loss_of


class Trainer:
    """What training on several devices needs beyond Keras; a base before `keras.Model`.

    Under `keras.distribution.DataParallel` Keras cuts each batch into equal parts, and fails
    with the last one of a data set if the devices do not divide it. Here the step cuts the
    batches that can be cut; the others are computed by every device as a whole.
    """

    _batch_sharding: Any = None
    _weights_of_step: Any = ()

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As in Keras; the devices are those of the distribution in force."""
        super().compile(*args, **kwargs)  # type: ignore[misc]
        self._batch_sharding = _batch_sharding()

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        with self._running():
            return super().fit(*args, **kwargs)  # type: ignore[misc]

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with self._running():
            return super().evaluate(*args, **kwargs)  # type: ignore[misc]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        with self._running():
            return super().predict(*args, **kwargs)  # type: ignore[misc]

    def see_ranks(self, step: str, y: Any, sample_weight: Any) -> None:
        """A step is compiled anew for other ranks by itself."""

    def compute_loss_and_updates(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any,
        y: Any,
        sample_weight: Any,
        training: bool = False,
        optimizer_variables: Any = None,
    ) -> Any:
        """As in Keras, with a loss that is given the scores behind the outputs."""
        weights = (trainable_variables, non_trainable_variables, metrics_variables)
        with forward(self, weights, x, training) as (outputs, scope):
            loss = loss_of(self, x, y, outputs, sample_weight, training=training)
        scaled = loss
        if training:
            variables = self.optimizer.variables  # type: ignore[attr-defined]
            mapping = list(zip(variables, optimizer_variables, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                scaled = self.optimizer.scale_loss(loss)  # type: ignore[attr-defined]
        return scaled, (loss, outputs, *changed_in(self, scope))

    def train_step(self, state: Any, data: Any) -> Any:
        data = _spread(data, self._batch_sharding)
        with self._metrics_see(state):
            logs, after, taken = train_step(self, state, data)
        if self.skip_non_finite:  # type: ignore[attr-defined]
            logs, after, good = undo_if_not_finite(self, state, after)
            taken = jnp.logical_and(good, taken)
        if self.balancing is not None:  # type: ignore[attr-defined]
            more, after = balance_after_step(self, after, data, taken)
            logs = {**logs, **more}
        return logs, after

    def test_step(self, state: Any, data: Any) -> Any:
        with self._metrics_see(state):
            return super().test_step(state, _spread(data, self._batch_sharding))  # type: ignore[misc]

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """As in Keras, with the weights of the step at hand: decoding by a CRF, for example, needs them.

        Keras leaves them out of the scope of the metrics, and takes them from the model in training.
        """
        kept = [(variable, variable.value) for variable in self.metrics_variables]  # type: ignore[attr-defined]
        with keras.StatelessScope(state_mapping=[*self._weights_of_step, *kept]) as scope:
            logs = super().compute_metrics(x, y, y_pred, sample_weight)  # type: ignore[misc]
        for variable, _ in kept:
            variable.assign(scope.get_current_value(variable))
        return logs

    @contextlib.contextmanager
    def _metrics_see(self, state: Any) -> Any:
        weights = (self.trainable_variables, self.non_trainable_variables)  # type: ignore[attr-defined]
        pairs = list(zip(itertools.chain(*weights), itertools.chain(*state[:2]), strict=True))
        # Past Keras' attribute tracking, which would take them for the model's own variables.
        object.__setattr__(self, "_weights_of_step", pairs)
        try:
            yield
        finally:
            object.__setattr__(self, "_weights_of_step", ())

    def predict_step(self, state: Any, data: Any) -> Any:
        return super().predict_step(state, _spread(data, self._batch_sharding))  # type: ignore[misc]

    @contextlib.contextmanager
    def _running(self) -> Any:
        with recover_state(self):
            if self._batch_sharding is None:
                yield
                return
            optimizer = _optimizer(self)
            if optimizer is not None and not optimizer.built:
                # Here, since its variables belong on all devices.
                optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]
            with _without_distribution():
                yield


def train_step(model: Any, state: Any, data: Any) -> tuple[dict[str, Any], Any, Any]:
    """Trains on one batch; returns the logs, the state after it, and whether there was an update.

    The scaling of losses leaves a step out whose gradients overflow: then the balancer forgets it too.
    """
    balancing, optimizer = model.balancing, model.optimizer
    if balancing is None:
        return *super(Trainer, model).train_step(state, data), True
    if balancing.own_step == "parameters":
        logs, after = parameter_step(model, state, data)
    elif balancing.own_step == "representation":
        logs, after = representation_step(model, state, data)
    else:
        with balancing.asked():
            logs, after = super(Trainer, model).train_step(state, data)
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return logs, after, True
    place = next(i for i, v in enumerate(optimizer.variables) if v is optimizer.dynamic_scale)
    taken = after[2][place] >= state[2][place]
    remembered = {id(variable) for variable in balancing.remembered}
    non_trainable = [
        jnp.where(taken, new, old) if id(variable) in remembered else new
        for variable, new, old in zip(model.non_trainable_variables, after[1], state[1], strict=True)
    ]
    return logs, (after[0], non_trainable, *after[2:]), taken


def balance_after_step(model: Any, state: Any, data: Any, taken: Any) -> tuple[dict[str, Any], Any]:
    """Ends a training step for the model's balancer; returns what it adds to the logs, and the state."""
    pairs = _values(model, state)
    if model.balancing.looks_again:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        # A look: what the forward pass does to moving averages and seeds stays in its scope.
        with keras.StatelessScope(state_mapping=pairs):
            outputs = model.outputs_for_loss(x, training=True)
        with keras.StatelessScope(state_mapping=pairs) as scope:
            model.balance_after_step(y, outputs, sample_weight, taken)
        pairs = [(variable, scope.get_current_value(variable)) for variable, _ in pairs]
    with keras.StatelessScope(state_mapping=pairs) as scope:
        logs = model.log_weights()
    values = iter(scope.get_current_value(variable) for variable, _ in pairs)
    return logs, tuple([next(values) for _ in part] for part in state)


def _values(model: Any, state: Any) -> list[tuple[Any, Any]]:
    """Returns pairs of a variable and its value in a training step's state."""
    variables = (
        *(model.trainable_variables, model.non_trainable_variables),
        *(model.optimizer.variables, model.metrics_variables),
    )
    return list(zip(itertools.chain(*variables), itertools.chain(*state), strict=True))


def undo_if_not_finite(model: Any, before: Any, after: Any) -> tuple[dict[str, Any], Any, Any]:
    """Returns a step's logs, its state, and whether it stands.

    The state is that before if a loss or a weight is no finite number.
    """
    skipped, watched = model.watched_by_skipping()
    values = {id(variable): value for variable, value in _values(model, after)}
    good = jax.numpy.all(jax.numpy.stack([jax.numpy.isfinite(values[id(v)]).all() for v in watched]))
    state = jax.tree.map(lambda new, old: jax.numpy.where(good, new, old), after, before)
    metrics = list(state[3])
    place = next(i for i, variable in enumerate(model.metrics_variables) if variable is skipped)
    metrics[place] = metrics[place] + 1.0 - good.astype("float32")
    with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, metrics, strict=True))):
        logs = model.get_metrics_result()
    return logs, (*state[:3], metrics), good


def _batch_sharding() -> Any:
    """Returns how a batch lies on the devices of a `DataParallel`, or `None` if there is only one."""
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel) or jax.process_count() > 1:
        return None
    if distribution.device_mesh.devices.size == 1:
        return None
    return distribution.get_data_layout((None,)).backend_layout


def _spread(batch: Any, sharding: Any) -> Any:
    """Cuts a batch into a part for each device, if the number of its rows allows."""
    if sharding is None:
        return batch

    def place(array: Any) -> Any:
        if array is None or array.shape[0] % sharding.mesh.size:
            return array
        return jax.lax.with_sharding_constraint(array, sharding)

    return keras.tree.map_structure(place, batch)


@contextlib.contextmanager
def _without_distribution() -> Any:
    """Keeps Keras from cutting batches."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _optimizer(model: Any) -> Any:
    return getattr(model, "optimizer", None)  # A model that was not compiled has none.


@contextlib.contextmanager
def recover_state(model: Any) -> Any:
    """Gives the variables of `model` their values back if its run breaks off.

    The JAX trainer holds a model's state outside of its variables while it runs, and leaves
    them empty when an exception passes through.
    """
    variables = list(model.variables) + list(getattr(_optimizer(model), "variables", ()))
    before = [variable.value for variable in variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in zip(variables, before, strict=True):
            # Before its first step the trainer has recorded no state, and what was there is whole.
            if is_empty(variable) and not value.is_deleted():
                variable.assign(value)
        raise
