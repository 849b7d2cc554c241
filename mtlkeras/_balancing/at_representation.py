"""How balancers by gradients of the representation enter a training step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from keras import ops

from mtlkeras._backends import matmul, sum_over_replicas
from mtlkeras._balancing import watching
from mtlkeras._balancing.balancing import Balancing
from mtlkeras._balancing.watched_fork import Cut, WatchedFork
from mtlkeras.balancers._guard import is_sound, solved
from mtlkeras.balancers.base import GramBalancer, Problem
from mtlkeras.heads.base import Head


class GradientBalancing(Balancing):
    """A balancer by gradients in a model; arguments as for `Balancing`."""

    balancer: Any

    def decide(self, gram: Any, losses: Any, present: Any, noise: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        """Returns the step's weights, and pairs of a variable and its new value; all of the whole batch.

        Where something is not finite the weights are those of a step without a balancer, and with
        `every` the memory stays whole, so that the next step weighs.
        """
        memory, every = self.memory(), self.balancer.every
        gram = ops.where(present * ops.expand_dims(present, -1) > 0, gram, 0.0)
        problem = self.problem(losses, present, present, memory=memory, noise=noise, gram=gram)
        sound = is_sound(problem)

        def weigh() -> dict[str, Any]:
            weights, changes = solved(self.balancer, problem, sound)
            if every > 1:
                # A task that had no labels when the others were weighed keeps the weight it had.
                weights = ops.where(present > 0, weights, memory["weights"])
            return {**changes, **self._seen(problem, sound), "weights": weights}

        if every == 1:
            changes = weigh()
            return changes["weights"] * present, self.updates(changes)
        after = ops.cond(self.due(), lambda: {**memory, **weigh()}, lambda: memory)
        counted = {**after, "step": (memory["step"] + 1.0) % every}
        kept = {name: ops.where(sound, value, memory[name]) for name, value in counted.items()}
        return after["weights"] * present, self.updates(kept)

    def _seen(self, problem: Problem, sound: Any) -> dict[str, Any]:
        """Returns what is counted of the step's gradients, of a step that is not finite nothing."""
        if not self.watches:
            return {}
        found = ops.where(sound, watching.seen(problem.gram), 0.0)
        return {watching.WATCHED: problem.memory[watching.WATCHED] + found}

    def kept(self, present: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        """Returns the weights of the steps before, and pairs of a variable and its new value."""
        memory = self.memory()
        step = (memory["step"] + 1.0) % self.balancer.every
        return memory["weights"] * present, self.updates({"step": step})

    def due(self, step: Any = None) -> Any:
        """Returns whether a step of this number computes weights anew; by default the next one."""
        return ops.convert_to_tensor(self.state["step"] if step is None else step) < 0.5


class RepresentationBalancing(GradientBalancing):
    """A balancer of the gradients of the representation; arguments as for `Balancing`.

    The training step cuts the forward pass at the fork. One backward pass behind it gives each task's
    gradient of what the trunk gave; weighed and added up they go on through the trunk.
    """

    own_step = "representation"

    def __init__(self, balancer: GramBalancer, heads: Mapping[str, Head]) -> None:
        super().__init__(balancer, heads)
        self.fork = WatchedFork()

    def at_fork(self) -> Any:
        return self.fork

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        cut = self.fork.cut
        if cut is not None:  # Else in a training loop of the caller's own, where nothing is balanced.
            self._asked = True
            cut.losses, cut.present, cut.noise = ops.stop_gradient(losses), present, self.draw()
        return ops.sum(losses)

    def weigh(
        self, cut: Cut, gradients: Mapping[str, Any], scale: Any
    ) -> tuple[list[Any], list[tuple[Any, Any]]]:
        """Returns the weighed gradients of what the trunk gave, and pairs of a variable and its new value.

        Args:
            cut: What passed the fork.
            gradients: This replica's part of the gradients of the copies, as these by task.
            scale: What the losses were multiplied by for these gradients.
        """
        count = len(self.tasks)
        stacks, indices, gram = self._products(cut, gradients)
        # Summed over replicas: inner products of gradients of parts of the batch, and losses.
        summed = sum_over_replicas(ops.concatenate([ops.reshape(gram, (-1,)), cut.losses]))
        gram = ops.reshape(summed[: count * count], (count, count)) / scale / scale
        weights, after = self.decide(gram, summed[count * count :], cut.present, cut.noise)
        seeds = []
        for value, stack, places in zip(cut.given, stacks, indices, strict=True):
            own = ops.expand_dims(ops.stack([weights[i] for i in places]), 0)
            seeds.append(ops.cast(ops.reshape(matmul(own, stack), ops.shape(value)), value.dtype))
        return seeds, after

    def _products(self, cut: Cut, gradients: Mapping[str, Any]) -> tuple[list[Any], list[list[int]], Any]:
        """Returns what `weigh` is made of.

        Returns:
            For each tensor of the trunk the gradients of the tasks that read it, as rows, and their numbers
            among the tasks; then this replica's part of the tasks' inner products, shape `(K, K)`.
        """
        stacks = [as_rows([gradients[task][place] for task, place in readers]) for readers in cut.readers]
        indices = [[self.tasks.index(task) for task, _ in readers] for readers in cut.readers]
        found = [
            _spread(products(self._looked_at(stack)), places, len(self.tasks))
            for stack, places in zip(stacks, indices, strict=True)
            if places
        ]
        return stacks, indices, sum(found[1:], found[0])

    def _looked_at(self, stack: Any) -> Any:
        if self.balancer.gram_fraction == 1.0:
            return stack
        size = ops.shape(stack)[1]
        if isinstance(size, int):
            rows = math.ceil(size * self.balancer.gram_fraction)
        else:
            rows = ops.cast(ops.ceil(ops.cast(size, "float32") * self.balancer.gram_fraction), "int32")
        return stack[:, :rows]


class WatchingBalancing(RepresentationBalancing):
    """A balancer that looks at the gradients of the representation and leaves them as they are."""

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        self._asked = True
        return ops.sum(losses)

    def weigh(
        self, cut: Cut, gradients: Mapping[str, Any], scale: Any
    ) -> tuple[list[Any], list[tuple[Any, Any]]]:
        """As that of other balancers; the weights are 1."""
        _, _, gram = self._products(cut, gradients)
        seeds = [
            sum(parts[1:], parts[0]) if parts else ops.zeros_like(value)
            for value, parts in zip(
                cut.given,
                ([gradients[task][place] for task, place in readers] for readers in cut.readers),
                strict=True,
            )
        ]
        found, updates = watching.seen(sum_over_replicas(gram)), []
        if self.balancer.every > 1:
            step = ops.convert_to_tensor(self.state["step"])
            found = ops.where(self.due(step), found, 0.0)
            updates = self.updates({"step": (step + 1.0) % self.balancer.every})
        watched = ops.convert_to_tensor(self.state[watching.WATCHED]) + found
        return seeds, [*updates, *self.updates({watching.WATCHED: watched})]


def as_rows(gradients: list[Any]) -> Any:
    """Returns gradients of one tensor as the rows of a float32 matrix."""
    if not gradients:
        return ops.zeros((0, 1), "float32")
    return ops.stack([ops.reshape(ops.cast(g, "float32"), (-1,)) for g in gradients])


def products(rows: Any) -> Any:
    """Returns the inner products of the rows of a matrix."""
    return matmul(rows, rows, transpose_b=True)


def _spread(products: Any, indices: list[int], count: int) -> Any:
    """Returns a Gram matrix of some tasks as that of all, with zeros for the others."""
    if len(indices) == count:
        return products
    places = ops.one_hot(ops.convert_to_tensor(indices), count, dtype="float32")
    return matmul(ops.transpose(places), matmul(products, places))
