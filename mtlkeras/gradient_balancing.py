"""How balancers by gradients of the representation enter a training step."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from mtlkeras._backend import matmul, sum_over_replicas
from mtlkeras.balancers.base import GramBalancer
from mtlkeras.balancing import Balancing
from mtlkeras.heads.base import Head


class GradientBalancing(Balancing):
    """A balancer by gradients in a model; arguments as for `Balancing`.

    Its state changes with the gradients' update, so that both are undone together: its new value
    stands in place of a gradient, by which Keras' optimizers replace the variable
    (`overwrite_with_gradient`).
    """

    replaces_state = True
    balancer: Any

    def decide(self, gram: Any, losses: Any, present: Any, state: Any, noise: Any) -> tuple[Any, Any]:
        """Returns the step's weights and the new state; everything is of the whole batch."""
        memory = self.memory(state)
        gram = gram * present * ops.expand_dims(present, -1)
        problem = self.problem(losses, present, present, memory=memory, noise=noise, gram=gram)

        def weigh() -> Any:
            weights, changes = self.balancer.solve(problem)
            if self.balancer.every > 1:
                # A task that had no labels when the others were weighed keeps the weight it had.
                weights = ops.where(present > 0, weights, memory["weights"])
            return self.packed(memory, {**changes, "weights": weights})

        after = weigh() if self.balancer.every == 1 else ops.cond(self.due(state), weigh, lambda: state)
        step = (memory["step"] + 1.0) % self.balancer.every
        return self.memory(after)["weights"] * present, self.packed(self.memory(after), {"step": step})

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

    The weights are known in the backward pass only, where no variable may be written. So the
    state enters the fork as an input, and the fork gives its new value in place of a gradient.
    In the same way what the loss knows reaches the fork: the fork gives out zeros, the loss adds
    them up with what it has to say as factors, and these come back as the zeros' gradients.
    """

    def __init__(self, balancer: GramBalancer, heads: Mapping[str, Head]) -> None:
        super().__init__(balancer, heads)
        self._said = threading.local()  # The replicas of tf.distribute trace in threads of their own.

    def fork(self, tensors: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
        """Returns a copy for each task whose gradients come back combined.

        Args:
            tensors: What the trunk gives, by key; together they are the representation.
            keys: The key that each task reads.
        """
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

            return (*copies, ops.zeros((2 * count + 1,))), combine

        noise = ops.zeros((1,)) if noise is None else noise
        *copies, self._said.zeros = split(
            ops.convert_to_tensor(self.state), noise, *(ops.convert_to_tensor(tensors[n]) for n in names)
        )
        return dict(zip(self.tasks, copies, strict=True))

    def joint_loss(self, losses: Any, counts: Any, present: Any) -> Any:
        zeros, self._said.zeros = getattr(self._said, "zeros", None), None
        if zeros is None:  # The outputs did not come through the fork in training.
            return ops.sum(losses)
        # The last factor comes back as what else the loss was multiplied by: its scaling.
        message = ops.concatenate([ops.stop_gradient(losses), present, ops.ones((1,))])
        return ops.sum(losses) + ops.sum(zeros * message)

    def _weigh(
        self, stacks: Mapping[str, Any], readers: Mapping[str, list[int]], said: Any, state: Any, noise: Any
    ) -> tuple[Any, Any]:
        """Returns weights and the new state for gradients of the representation."""
        count = len(self.tasks)
        scale = said[-1]
        heard = ops.not_equal(scale, 0.0)
        said = said / ops.where(heard, scale, 1.0)
        # Summed over replicas: inner products of gradients of parts of the batch, and losses.
        gram = sum(
            _spread(products(self._looked_at(stack)), readers[name], count)
            for name, stack in stacks.items()
            if readers[name]
        )
        summed = sum_over_replicas(ops.concatenate([ops.reshape(gram, (-1,)), said[:count]]))
        gram = ops.reshape(summed[: count * count], (count, count))
        gram = gram / ops.where(heard, scale, 1.0) / ops.where(heard, scale, 1.0)
        weights, after = self.decide(gram, summed[count * count :], said[count : 2 * count], state, noise)
        # A loss of the caller's own said nothing: then the gradients just add up.
        return ops.where(heard, weights, 1.0), ops.where(heard, after, state)

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
        return ops.zeros((0, 1))
    return ops.stack([ops.reshape(ops.cast(g, "float32"), (-1,)) for g in gradients])


def products(rows: Any) -> Any:
    """Returns the inner products of the rows of a matrix."""
    return matmul(rows, rows, transpose_b=True)


def _spread(products: Any, indices: list[int], count: int) -> Any:
    """Returns a Gram matrix of some tasks as that of all, with zeros for the others."""
    if len(indices) == count:
        return products
    places = ops.one_hot(ops.convert_to_tensor(indices), count)
    return matmul(ops.transpose(places), matmul(products, places))
