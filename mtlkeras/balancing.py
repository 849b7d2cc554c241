"""What a model keeps of its balancer, and how balancers by losses enter a training step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._backend import replica_count, sum_over_replicas
from mtlkeras.balancers.base import LossBalancer, Problem
from mtlkeras.heads.base import Head


class Balancing(keras.layers.Layer):
    """The variables of a balancer in a model.

    All that a balancer remembers is in one variable, so that a step updates one.

    Args:
        balancer: The balancer.
        heads: The model's heads by task.

    Raises:
        ValueError: If the balancer names a task that the model lacks.
    """

    # Whether the optimizer gets the new state in place of a gradient, see `GradientBalancing`.
    replaces_state = False
    # Whether the backend's own training step combines the gradients of the parameters.
    needs_own_step = False
    # Whether the losses of the batch are wanted again after the update.
    looks_again = False

    def __init__(self, balancer: Any, heads: Mapping[str, Head]) -> None:
        super().__init__(name="balancing", dtype="float32")
        self.balancer, self.tasks = balancer, list(heads)
        self.preference = balancer.preferences(self.tasks)
        known = [*heads.values()]
        start = {"weights": np.ones(len(known), "float32"), "step": np.zeros((), "float32")}
        start.update(balancer.memory(known))
        self._shapes = {name: value.shape for name, value in start.items()}
        self.state = self.add_weight(
            shape=(sum(value.size for value in start.values()),),
            initializer=_Values(_flat(start)),
            trainable=self.replaces_state,
            overwrite_with_gradient=self.replaces_state,
            aggregation="only_first_replica",
            name="state",
        )
        self.trained = {
            name: self.add_weight(shape=value.shape, initializer=_Values(value), name=name)
            for name, value in balancer.trained(known).items()
        }
        self.seed = keras.random.SeedGenerator(balancer.seed) if hasattr(balancer, "seed") else None
        self.built = True

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        """Returns this replica's part of the objective that is differentiated.

        Args:
            losses: This replica's part of each task's loss, shape `(K,)`.
            counts: Labelled examples by task in the whole batch, shape `(K,)`.
            present: 1 where a task counts in this batch, else 0, shape `(K,)`.
        """
        raise NotImplementedError

    def memory(self, state: Any = None) -> dict[str, Any]:
        """Returns what is remembered by name, from a value of the state; that of now by default."""
        state = ops.convert_to_tensor(self.state if state is None else state)
        memory, start = {}, 0
        for name, shape in self._shapes.items():
            size = int(np.prod(shape))
            memory[name] = ops.reshape(state[start : start + size], shape)
            start += size
        return memory

    def packed(self, memory: Mapping[str, Any], changes: Mapping[str, Any]) -> Any:
        """Returns the state that holds a memory with some changes."""
        return ops.concatenate([ops.reshape(changes.get(name, memory[name]), (-1,)) for name in self._shapes])

    def draw(self) -> Any:
        """Returns the balancer's random numbers for one step, the same on all replicas."""
        return None if self.seed is None else self.balancer.draw(len(self.tasks), self.seed)

    def problem(self, losses: Any, counts: Any, present: Any, **known: Any) -> Problem:
        """Returns what the balancer gets to see; losses and counts are of the whole batch."""
        return Problem(
            losses=ops.where(present > 0, losses, 0.0),
            present=present,
            preference=ops.convert_to_tensor(self.preference),
            counts=counts,
            **known,
        )

    def begin_epoch(self) -> None:
        """Tells the balancer that an epoch begins."""
        memory = {name: ops.convert_to_numpy(value) for name, value in self.memory().items()}
        changes = self.balancer.epoch_memory(memory)
        if changes:
            self.state.assign(_flat({**memory, **changes}))

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if self.seed is not None:
            store["seed"] = ops.convert_to_numpy(self.seed.state)

    def load_own_variables(self, store: Any) -> None:
        keys = set(store.keys())
        if not keys:  # Weights of a model that was trained without this balancer.
            return
        if self.seed is not None and "seed" in keys:
            self.seed.state.assign(np.array(store["seed"]))
        super().load_own_variables({key: store[key] for key in keys - {"seed"}})


class LossBalancing(Balancing):
    """A balancer by losses in a model; arguments as for `Balancing`."""

    balancer: LossBalancer

    @property
    def looks_again(self) -> bool:  # type: ignore[override]
        """Whether the losses of the batch are wanted again after the update."""
        return getattr(self.balancer, "second_pass", False)

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        memory, local = self.memory(), ops.stop_gradient(losses)
        trained = {name: ops.convert_to_tensor(variable) for name, variable in self.trained.items()}
        problem = self.problem(
            sum_over_replicas(local), counts, present, memory={**memory, **trained}, noise=self.draw()
        )
        answer = self.balancer.weigh(problem)
        weights = ops.stop_gradient(answer.weights)
        changes = {**answer.memory, "weights": weights, "step": memory["step"] + 1.0}
        self.state.assign(ops.stop_gradient(self.packed(memory, changes)))
        # The value is that of the objective; the gradient by the losses is the weights, as they
        # are for the losses of all replicas, and that by what is trained is the objective's own.
        return answer.objective / replica_count() + ops.sum(weights * (losses - local))

    def after_step(self, losses: Any, counts: Any, present: Any) -> None:
        """Tells the balancer the losses after the update; all of the whole batch."""
        memory = self.memory()
        changes = self.balancer.after_step(self.problem(losses, counts, present, memory=memory))
        self.state.assign(self.packed(memory, changes))


class EpochStart(keras.callbacks.Callback):
    """Tells the model's balancer when an epoch begins."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.balancing.begin_epoch()


def with_epoch_start(callbacks: Any) -> Any:
    """Returns the callbacks of a fit with the one that tells the balancer about epochs."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(EpochStart())
        return callbacks
    given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
    return [*given, EpochStart()]


class _Values(keras.initializers.Initializer):
    """Gives a variable the values of an array."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.convert_to_tensor(self._values, dtype=dtype)


def _flat(memory: Mapping[str, Any]) -> np.ndarray:
    return np.concatenate([np.ravel(value).astype("float32") for value in memory.values()])
