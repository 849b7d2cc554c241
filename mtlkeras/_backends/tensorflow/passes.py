"""TensorFlow: a forward pass, and what gradients of its losses cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

# Up to so many tasks each has a backward graph of its own through the trunk, which takes about as much memory
# as one graph in a loop and is much faster where kernels are fused (convolution and pooling on a CPU).
MOST_UNROLLED = 4


class Pass:
    """A forward pass, and the gradients of its losses.

    Each task has a backward pass of its own through everything.
    """

    def __init__(self, model: Any, data: Any, logged: bool = True) -> None:
        self.x, self.y, self.sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        scale = model.optimizer.scale_loss
        self.scale = scale(tf.ones(()))
        self._tasks = list(model.heads)
        self._rest = tf.zeros(())
        with tf.GradientTape(persistent=True) as self._tape:
            self.outputs = self._forward(model)
            if logged:
                terms = model.task_losses(self.y, self.outputs, self.sample_weight)
                losses, self.counts, self.present, rest = terms
                self._rest = scale(rest)
            else:
                terms = model.look_at_losses(self.y, self.outputs, self.sample_weight)
                losses, self.counts, self.present = terms
            self._scaled = [scale(loss) for loss in losses]
        self.losses = tf.stack(losses)
        self._regularized = bool(model.losses)

    def _forward(self, model: Any) -> Any:
        return model.outputs_for_loss(self.x, training=True)

    def of_task(self, task: int, variables: list[Any]) -> list[Any]:
        """Returns the gradients of one task's loss."""
        return _dense(self._tape.gradient(self._scaled[task], values(variables)))

    def task_gradients(
        self, shared: list[Any], own: list[Any], shares: Any = None
    ) -> tuple[list[Any], list[Any]]:
        """Returns each shared variable's gradients, shape `(K, *variable)`, and the others' sums.

        The sums are over the tasks, each times its share where there are shares.
        """
        found = [self.of_task(task, shared + own) for task in range(len(self._tasks))]
        others = [part[len(shared) :] for part in found]
        return stacked([part[: len(shared)] for part in found], shared), _summed(others, shares)

    def weighted(self, weights: Any, shared: list[Any], own: list[Any]) -> tuple[list[Any], list[Any]]:
        """Returns the gradients of the weighted losses by shared variables, and of all losses by the others.

        Those of the regularisers are in both.
        """
        targets, factors = [*self._scaled, self._rest], [*tf.unstack(weights, len(self._tasks)), tf.ones(())]
        of_shared = self._tape.gradient(targets, values(shared), factors)
        return _dense(of_shared), _dense(self._tape.gradient(targets, values(own)))

    def of_regularisers(self, variables: list[Any]) -> list[Any]:
        """Returns the gradients of the regularisers."""
        if not self._regularized:
            return [None] * len(variables)
        return _dense(self._tape.gradient(self._rest, values(variables)))

    def log(self, model: Any) -> dict[str, Any]:
        """Updates the metrics with the pass; returns the logs."""
        return model.compute_metrics(self.x, self.y, self.outputs, self.sample_weight)


class ForkedPass(Pass):
    """A pass of a model whose shared variables all stand before its one `GradientFork`.

    Behind the fork one backward pass is that of all tasks. From the fork to the inputs theirs go one after
    the other: many at once would take more memory than their gradients.
    """

    def _forward(self, model: Any) -> Any:
        with model.balancing.fork.cutting(copied(self._tape)) as cut:
            outputs = super()._forward(model)
        places = [(task, place) for task in self._tasks for place in range(len(cut.copies[task]))]
        self._copies = [cut.copies[task][place] for task, place in places]
        self._given = cut.given
        # For each tensor of the trunk, the tasks that read it with the number of their copy.
        self._readers = [[(task, places.index((task, place))) for task, place in r] for r in cut.readers]
        return outputs

    def of_task(self, task: int, variables: list[Any]) -> list[Any]:
        return self._through_fork([self._scaled[task]], variables)

    def task_gradients(
        self, shared: list[Any], own: list[Any], shares: Any = None
    ) -> tuple[list[Any], list[Any]]:
        # Nothing behind the fork stands in two tasks' ways: one backward pass is that of all.
        found = _dense(self._tape.gradient(self._scaled, [*self._copies, *values(own)]))
        of_copies, of_own = found[: len(self._copies)], found[len(self._copies) :]
        if shares is not None:
            of_own = _dense(self._tape.gradient(self._scaled, values(own), shares))
        seeds = [self._seeds(of_copies, task) for task in range(len(self._tasks))]
        walk = self._unrolled if len(seeds) <= MOST_UNROLLED else self._in_a_loop
        return walk(seeds, shared), of_own

    def _unrolled(self, seeds: list[list[Any]], shared: list[Any]) -> list[Any]:
        found: list[list[Any]] = []
        for seed in seeds:
            # One by one, so that what a pass holds on its way is held once.
            with tf.control_dependencies([g for g in found[-1] if g is not None] if found else []):
                seed = [tf.identity(part) for part in seed]
            found.append(_dense(self._tape.gradient(self._given, values(shared), seed)))
        return stacked(found, shared)

    def _in_a_loop(self, seeds: list[list[Any]], shared: list[Any]) -> list[Any]:
        by_tensor = [tf.stack(parts) for parts in zip(*seeds, strict=True)]
        watched, count = values(shared), len(seeds)

        def backward(task: Any, kept: list[Any]) -> tuple[Any, list[Any]]:
            seed = [tf.gather(of_tensor, task) for of_tensor in by_tensor]
            found = _dense(self._tape.gradient(self._given, watched, seed, unconnected_gradients="zero"))
            return task + 1, [array.write(task, g) for array, g in zip(kept, found, strict=True)]

        arrays = [tf.TensorArray(v.dtype, count, element_shape=v.shape) for v in watched]
        options = {"parallel_iterations": 1, "maximum_iterations": count}
        _, arrays = tf.while_loop(lambda task, _: task < count, backward, (0, arrays), **options)
        return [array.stack() for array in arrays]

    def weighted(self, weights: Any, shared: list[Any], own: list[Any]) -> tuple[list[Any], list[Any]]:
        factors = tf.unstack(weights, len(self._tasks))
        of_shared = self._through_fork(self._scaled, shared, factors)
        _, of_own = self._behind(self._scaled, own)
        return added(of_shared, self.of_regularisers(shared)), added(of_own, self.of_regularisers(own))

    def of_regularisers(self, variables: list[Any]) -> list[Any]:
        if not self._regularized:
            return [None] * len(variables)
        return self._through_fork([self._rest], variables)

    def _seeds(self, of_copies: list[Any], task: int) -> list[Any]:
        """Returns a task's gradients of what the trunk gives, zeros where it does not read it."""
        seeds = []
        for tensor, readers in zip(self._given, self._readers, strict=True):
            parts = [of_copies[place] for name, place in readers if name == self._tasks[task]]
            parts = [part for part in parts if part is not None]
            seeds.append(parts[0] if parts else tf.zeros_like(tensor))
        return seeds

    def _through_fork(self, targets: list[Any], variables: list[Any], factors: Any = None) -> list[Any]:
        seed, behind = self._behind(targets, variables, factors)
        return added(behind, _dense(self._tape.gradient(self._given, values(variables), seed)))

    def _behind(
        self, targets: list[Any], variables: list[Any], factors: Any = None
    ) -> tuple[list[Any], list[Any]]:
        """Returns the gradients of what the trunk gives, and those of variables, but for the trunk's part."""
        found = _dense(self._tape.gradient(targets, [*self._copies, *values(variables)], factors))
        seed = []
        for tensor, readers in zip(self._given, self._readers, strict=True):
            parts = [found[place] for _, place in readers if found[place] is not None]
            seed.append(tf.add_n(parts) if parts else tf.zeros_like(tensor))
        return seed, found[len(self._copies) :]


def copied(tape: tf.GradientTape) -> Callable[[str, int, Any], Any]:
    """Returns what makes a task's copy of a tensor at the fork, which gradients are taken of."""

    def copy(task: str, place: int, tensor: Any) -> Any:
        cut = tf.stop_gradient(tensor)
        tape.watch(cut)
        return cut

    return copy


def values(variables: list[Any]) -> list[Any]:
    return [variable.value for variable in variables]


def stacked(gradients: list[list[Any]], variables: list[Any]) -> list[Any]:
    """Returns for each variable the gradients of all tasks, in which `None` becomes zeros."""
    return [
        tf.stack([tf.zeros(v.shape, v.dtype) if part is None else part for part in parts])
        for v, parts in zip(variables, zip(*gradients, strict=True), strict=True)
    ]


def added(gradients: list[Any], more: list[Any]) -> list[Any]:
    """Adds gradients of which some may be `None`, which stands for zero."""
    return [
        b if a is None else a if b is None else tf.convert_to_tensor(a) + tf.convert_to_tensor(b)
        for a, b in zip(gradients, more, strict=True)
    ]


def times(factor: Any, gradients: list[Any]) -> list[Any]:
    """Multiplies gradients of which some may be `None`."""
    return [None if g is None else tf.cast(factor, g.dtype) * g for g in gradients]


def _summed(gradients: list[list[Any]], shares: Any) -> list[Any]:
    parts = gradients if shares is None else [times(s, g) for s, g in zip(shares, gradients, strict=True)]
    total = parts[0]
    for more in parts[1:]:
        total = added(total, more)
    return total


def _dense(gradients: list[Any]) -> list[Any]:
    return [None if g is None else tf.convert_to_tensor(g) for g in gradients]
