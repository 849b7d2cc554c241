"""How balancers by gradients of the representation enter a training step."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import ops

from mtlkeras._backends import matmul, sum_over_replicas
from mtlkeras._balancing.balancing import Balancing
from mtlkeras.balancers._guard import is_sound, solved
from mtlkeras.balancers.base import GramBalancer
from mtlkeras.heads.base import Head


class GradientBalancing(Balancing):
    """A balancer by gradients in a model; arguments as for `Balancing`."""

    balancer: Any

    def decide(self, gram: Any, losses: Any, present: Any, state: Any, noise: Any) -> tuple[Any, Any]:
        """Returns the step's weights and the new state; everything is of the whole batch.

        Where something is not finite the weights are those of a step without a balancer, and with
        `every` the state stays whole, so that the next step weighs.
        """
        memory, every = self.memory(state), self.balancer.every
        gram = ops.where(present * ops.expand_dims(present, -1) > 0, gram, 0.0)
        problem = self.problem(losses, present, present, memory=memory, noise=noise, gram=gram)
        sound = is_sound(problem)

        def weigh() -> Any:
            weights, changes = solved(self.balancer, problem, sound)
            if every > 1:
                # A task that had no labels when the others were weighed keeps the weight it had.
                weights = ops.where(present > 0, weights, memory["weights"])
            return self.packed(memory, {**changes, "weights": weights})

        if every == 1:
            after = weigh()
            return self.memory(after)["weights"] * present, after
        after = ops.cond(self.due(state), weigh, lambda: state)
        counted = self.packed(self.memory(after), {"step": (memory["step"] + 1.0) % every})
        return self.memory(after)["weights"] * present, ops.where(sound, counted, state)

    def kept(self, present: Any) -> tuple[Any, list[tuple[Any, Any]]]:
        """Returns the weights of the steps before, and pairs of a variable and its new value."""
        memory = self.memory()
        step = (memory["step"] + 1.0) % self.balancer.every
        return memory["weights"] * present, [(self.state, self.packed(memory, {"step": step}))]

    def due(self, state: Any = None) -> Any:
        """Returns whether this step computes weights anew."""
        return self.memory(state)["step"] < 0.5


class RepresentationBalancing(GradientBalancing):
    """A balancer of the gradients of the representation; arguments as for `Balancing`.

    The weights are known in the backward pass only, where no variable may be written. So the training
    step hands the state to the fork as a tensor, whose gradient is the state's new value. In the same
    way what the loss knows reaches the fork: the fork gives out zeros, the loss adds them up with what
    it has to say as factors, and these come back as the zeros' gradients.
    """

    own_step = "representation"

    def __init__(self, balancer: GramBalancer, heads: Mapping[str, Head]) -> None:
        super().__init__(balancer, heads)
        self._said = threading.local()  # The replicas of tf.distribute trace in threads of their own.

    def at_fork(self) -> Any:
        return self

    @contextlib.contextmanager
    def balancing(self, state: Any) -> Iterator[None]:
        """Opens a context in which a forward pass and its loss are those of a training step.

        Args:
            state: The value of the state, a tensor that is differentiated by.
        """
        self._said.state = state
        try:
            with self.asked():
                yield
        finally:
            self._said.state = self._said.zeros = None

    def fork(self, tensors: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
        """Returns a copy for each task whose gradients come back combined.

        Args:
            tensors: What the trunk gives, by key; together they are the representation.
            keys: The key that each task reads.
        """
        state = getattr(self._said, "state", None)
        if state is None:  # In a training loop of the caller's own, where nothing is balanced.
            return {task: tensors[key] for task, key in keys.items()}
        names, count = list(tensors), len(self.tasks)
        readers = {name: [i for i, task in enumerate(self.tasks) if keys[task] == name] for name in names}
        noise = self.draw()
        drawn = noise is not None

        @ops.custom_gradient
        def split(state: Any, noise: Any, *values: Any) -> Any:
            by_name = dict(zip(names, values, strict=True))
            copies = [by_name[keys[task]] for task in self.tasks]

            def combine(*back: Any) -> Any:
                *gradients, said = keras.tree.flatten(back)
                stacks = {name: as_rows([gradients[i] for i in readers[name]]) for name in names}
                weights, after = self._weigh(stacks, readers, said, state, noise if drawn else None)
                combined = []
                for name in names:
                    value = by_name[name]
                    own = ops.expand_dims(ops.stack([weights[i] for i in readers[name]]), 0)
                    total = ops.reshape(matmul(own, stacks[name]), ops.shape(value))
                    combined.append(ops.cast(total, value.dtype))
                return (after, ops.zeros_like(noise), *combined)

            return (*copies, ops.zeros((2 * count + 1,), "float32")), combine

        noise = ops.zeros((1,), "float32") if noise is None else noise
        *copies, self._said.zeros = split(state, noise, *(ops.convert_to_tensor(tensors[n]) for n in names))
        return dict(zip(self.tasks, copies, strict=True))

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        zeros = getattr(self._said, "zeros", None)
        if zeros is None:  # In a training loop of the caller's own.
            return ops.sum(losses)
        self._asked = True
        # The last factor comes back as what else the loss was multiplied by: its scaling.
        message = ops.concatenate([ops.stop_gradient(losses), present, ops.ones((1,), "float32")])
        return ops.sum(losses) + ops.sum(zeros * message)

    def _weigh(
        self, stacks: Mapping[str, Any], readers: Mapping[str, list[int]], said: Any, state: Any, noise: Any
    ) -> tuple[Any, Any]:
        """Returns weights and the new state for gradients of the representation."""
        count = len(self.tasks)
        scale = said[-1]
        said = said / scale
        # Summed over replicas: inner products of gradients of parts of the batch, and losses.
        gram = sum(
            _spread(products(self._looked_at(stack)), readers[name], count)
            for name, stack in stacks.items()
            if readers[name]
        )
        summed = sum_over_replicas(ops.concatenate([ops.reshape(gram, (-1,)), said[:count]]))
        gram = ops.reshape(summed[: count * count], (count, count))
        gram = gram / scale / scale
        return self.decide(gram, summed[count * count :], said[count : 2 * count], state, noise)

    def _looked_at(self, stack: Any) -> Any:
        if self.balancer.gram_fraction == 1.0:
            return stack
        size = ops.shape(stack)[1]
        if isinstance(size, int):
            rows = math.ceil(size * self.balancer.gram_fraction)
        else:
            rows = ops.cast(ops.ceil(ops.cast(size, "float32") * self.balancer.gram_fraction), "int32")
        return stack[:, :rows]


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
