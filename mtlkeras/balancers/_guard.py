"""What keeps solvers from matrices that they cannot invert or decompose."""

from __future__ import annotations

from typing import Any

from keras import ops

from mtlkeras._types import NamedTensors, Tensor


def is_sound(problem: Any) -> Tensor:
    """Returns whether all of a problem's inner products and losses are finite."""
    numbers = ops.concatenate([ops.reshape(problem.gram, (-1,)), problem.losses])
    return ops.all(ops.isfinite(numbers))


def solved(balancer: Any, problem: Any, sound: Any) -> tuple[Tensor, NamedTensors]:
    """Returns the weights of a balancer by gradients, and what changes in its memory.

    A solver gets finite numbers only and at least one task: in place of any other problem one of equal
    gradients at right angles, whose answer is thrown away. Then the memory stays as it was. Without any
    label the weights are zero; where something is not finite the tasks that are present get the
    weight 1, so that the step goes on as without a balancer: what is not finite reaches the
    gradients, and who watches over these sees it.

    Args:
        balancer: Has `solve`.
        problem: The step's problem.
        sound: Whether its numbers are finite, see `is_sound`.
    """
    present = problem.present
    usable = ops.logical_and(sound, ops.max(present) > 0)
    ones = ops.ones_like(present)
    weights, changes = balancer.solve(
        problem._replace(
            gram=ops.where(usable, problem.gram, ops.eye(present.shape[0], dtype=problem.gram.dtype)),
            losses=ops.where(usable, problem.losses, ones),
            present=ops.where(usable, present, ones),
        )
    )
    kept = {name: ops.where(usable, value, problem.memory[name]) for name, value in changes.items()}
    return ops.where(usable, weights, present), kept
