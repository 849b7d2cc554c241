"""What a model keeps of its balancer, and how balancers by losses enter a training step."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import keras
import numpy as np
from keras import ops

from mtlkeras._backends import replica_count, sum_over_replicas
from mtlkeras._balancing import watching
from mtlkeras.balancers.base import LossBalancer, Problem
from mtlkeras.heads.base import Head

# Before a balancer's name, as the name of an empty entry in saved weights.
_OF = "of_"


class Balancing(keras.layers.Layer):
    """The variables of a balancer in a model.

    Each thing that a balancer remembers is a variable with its name, in `state`. The optimizer never sees
    these: they are not decayed, averaged, clipped or accumulated. What a balancer trains is trained as any
    other weight.

    Args:
        balancer: The balancer.
        heads: The model's heads by task.

    Raises:
        ValueError: If the balancer names a task that the model lacks.
    """

    # Which training step of the backend's own it needs: `"representation"`, `"parameters"` or Keras' own.
    own_step: str | None = None
    # Whether the losses of the batch are wanted again after the update.
    looks_again = False

    def __init__(self, balancer: Any, heads: Mapping[str, Head]) -> None:
        super().__init__(name="balancing", dtype="float32")
        self.balancer, self.tasks = balancer, list(heads)
        self.preference = balancer.preferences(self.tasks)
        specs = [*heads.values()]
        start = {"weights": np.ones(len(specs), "float32"), "step": np.zeros((), "float32")}
        start.update(balancer.memory(specs))
        self.watches = getattr(balancer, "watch", False)
        """Whether it is logged how the tasks' gradients agree."""
        if self.watches:
            start.update(watching.start(len(specs)))
        self.state = {
            name: self.add_weight(
                shape=value.shape,
                initializer=_Values(value),
                trainable=False,
                aggregation="only_first_replica",
                name=name,
            )
            for name, value in start.items()
        }
        self.trained = {
            name: self.add_weight(shape=value.shape, initializer=_Values(value), name=name)
            for name, value in balancer.trained(specs).items()
        }
        self.seed = keras.random.SeedGenerator(balancer.seed) if hasattr(balancer, "seed") else None
        # Of what `buffered` balancers keep for each gradient element, by variable.
        self.buffers: list[Any] = []
        self._asked = False
        self.built = True

    def at_fork(self) -> Any:
        """Returns what stands at the model's `GradientFork`, with a method `fork`, if anything."""
        return None

    @property
    def remembered(self) -> list[Any]:
        """The variables that a step that is undone leaves as they were."""
        return [*self.state.values(), *self.buffers]

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Opens a context in which a training step has to ask for its weights.

        Raises:
            ValueError: At its end if the step did not.
        """
        self._asked = False
        yield
        if not self._asked:
            raise ValueError(
                f"balancer: {type(self.balancer).__name__} was not asked for weights, since the model's "
                "compute_loss does not call super().compute_loss. Call it and add to what it returns, or "
                "compile without a balancer."
            )

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        """Returns this replica's part of the objective that is differentiated.

        Args:
            losses: This replica's part of each task's loss, shape `(K,)`.
            counts: Labelled examples by task in the whole batch, shape `(K,)`.
            present: 1 where a task counts in this batch, else 0, shape `(K,)`.
        """
        raise NotImplementedError

    def memory(self) -> dict[str, Any]:
        """Returns what is remembered, by name."""
        return {name: ops.convert_to_tensor(variable) for name, variable in self.state.items()}

    def updates(self, changes: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        """Returns pairs of a variable and its new value for what changes in the memory, by name."""
        return [(self.state[name], value) for name, value in changes.items()]

    def draw(self) -> Any:
        """Returns the balancer's random numbers for one step, the same on all replicas."""
        return None if self.seed is None else self.balancer.draw(len(self.tasks), self.seed)

    def problem(self, losses: Any, counts: Any, present: Any, **others: Any) -> Problem:
        """Returns what the balancer gets to see; losses and counts are of the whole batch."""
        return Problem(
            losses=ops.where(present > 0, losses, 0.0),
            present=present,
            preference=ops.convert_to_tensor(self.preference),
            counts=counts,
            **others,
        )

    def begin_epoch(self) -> None:
        """Tells the balancer that an epoch begins."""
        memory = {name: ops.convert_to_numpy(value) for name, value in self.memory().items()}
        for variable, value in self.updates(self.balancer.epoch_memory(memory)):
            variable.assign(value)

    def save_own_variables(self, store: Any) -> None:
        """Saves what is remembered, trained and drawn, each under its name."""
        store[f"{_OF}{type(self.balancer).__name__}"] = np.zeros(())
        for name, value in self._named().items():
            store[name] = ops.convert_to_numpy(value)

    def load_own_variables(self, store: Any) -> None:
        """Takes what was saved if it is this balancer's; else warns, and begins anew.

        Raises:
            ValueError: If it is of another number of tasks.
        """
        saved, own = {name: store[name] for name in store.keys()}, type(self.balancer).__name__
        of = [name[len(_OF) :] for name in saved if name.startswith(_OF)]
        if of != [own]:
            whose = f"the balancer {of[0]}" if of else "another balancer" if saved else "no balancer"
            lost = sorted(name for name in saved if not name.startswith(_OF))
            what = f"not taken over: {', '.join(lost)}. " if lost else ""
            warnings.warn(
                f"The weights were saved with {whose}, and the model has {own}: {what}{own} begins anew.",
                stacklevel=2,
            )
            return
        named, left = self._named(), []
        if len(saved["weights"]) != len(self.tasks):
            raise ValueError(
                f"The weights were saved with {own} of {len(saved['weights'])} tasks; "
                f"the model has {len(self.tasks)}: {', '.join(self.tasks)}."
            )
        for name, variable in named.items():
            if name in saved and np.shape(saved[name]) == tuple(variable.shape):
                variable.assign(np.array(saved[name]))
            else:
                left.append(name)
        left += [name for name in saved if name not in named and not name.startswith(_OF)]
        if left:
            warnings.warn(f"Of what {own} remembered was not taken over: {', '.join(left)}.", stacklevel=2)

    def _named(self) -> dict[str, Any]:
        """Returns all variables by the names that they are saved under."""
        buffers = {f"buffer_{i}": buffer for i, buffer in enumerate(self.buffers)}
        seed = {} if self.seed is None else {"seed": self.seed.state}
        return {**self.state, **self.trained, **buffers, **seed}


def warn_of_saved_balancer(filepath: Any) -> None:
    """Warns that a model without a balancer was given weights that were saved with one."""
    if not str(filepath).endswith(".h5"):
        return
    with h5py.File(filepath) as file:
        saved = [name[len(_OF) :] for name in file.get("balancing/vars", ()) if name.startswith(_OF)]
    for name in saved:
        warnings.warn(
            f"The weights were saved with the balancer {name}, and the model has none: what {name} "
            "remembered was not taken over.",
            stacklevel=3,
        )


class LossBalancing(Balancing):
    """A balancer by losses in a model; arguments as for `Balancing`."""

    balancer: LossBalancer

    @property
    def looks_again(self) -> bool:  # type: ignore[override]
        """Whether the losses of the batch are wanted again after the update."""
        return getattr(self.balancer, "second_pass", False)

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        self._asked = True
        memory, local = self.memory(), ops.stop_gradient(losses)
        trained = {name: ops.convert_to_tensor(variable) for name, variable in self.trained.items()}
        problem, sound = _sound(
            self.problem(
                sum_over_replicas(local), counts, present, memory={**memory, **trained}, noise=self.draw()
            )
        )
        answer = self.balancer.weigh(problem)
        # Where a loss is not finite the step goes on as without a balancer, and nothing is remembered of it.
        weights = ops.stop_gradient(ops.where(sound, answer.weights, present))
        kept = {name: ops.where(sound, value, memory[name]) for name, value in answer.memory.items()}
        for variable, value in self.updates({**kept, "weights": weights, "step": memory["step"] + 1.0}):
            variable.assign(ops.stop_gradient(value))
        # The value is that of the objective; the gradient by the losses is the weights, as they
        # are for the losses of all replicas, and that by what is trained is the objective's own.
        objective = ops.where(sound, answer.objective, 0.0)
        return objective / replica_count() + ops.sum(weights * (losses - local))

    def after_step(self, losses: Any, counts: Any, present: Any, taken: Any) -> None:
        """Tells the balancer the losses after the update; all of the whole batch.

        Args:
            losses: Each task's loss, shape `(K,)`.
            counts: Labelled examples by task, shape `(K,)`.
            present: 1 where a task counts in this batch, else 0, shape `(K,)`.
            taken: Whether there was an update; without one nothing is remembered.
        """
        memory = self.memory()
        problem, sound = _sound(self.problem(losses, counts, present, memory=memory))
        sound = ops.logical_and(sound, taken)
        changes = self.balancer.after_step(problem)
        kept = {name: ops.where(sound, value, memory[name]) for name, value in changes.items()}
        for variable, value in self.updates(kept):
            variable.assign(value)


def _sound(problem: Problem) -> tuple[Problem, Any]:
    """Returns a problem with ones for losses that are not finite, and whether all are."""
    finite = ops.isfinite(problem.losses)
    return problem._replace(losses=ops.where(finite, problem.losses, 1.0)), ops.all(finite)


class WatchedGradients(keras.callbacks.Callback):
    """Logs for each epoch how the tasks' gradients agreed in its steps."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        balancing = self.model.balancing
        for variable, value in balancing.updates(watching.start(len(balancing.tasks))):
            variable.assign(value)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs is not None:
            logs.update(watching.logs(self.model.balancing.memory(), self.model.balancing.tasks))


class EpochStart(keras.callbacks.Callback):
    """Tells the model's balancer when an epoch begins."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.begin_epoch()


class _Values(keras.initializers.Initializer):
    """Gives a variable the values of an array."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return ops.convert_to_tensor(self._values, dtype=dtype)
