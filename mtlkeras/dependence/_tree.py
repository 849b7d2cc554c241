"""Exact inference on trees by sum-product and max-product (Pearl 1988), in log space.

Potentials are logs. `own[k]` has the shape `(batch, classes)` and is that of node k alone; `tables[k]` has
the shape `(batch or 1, classes of its parent, classes)` and is that of node k with its parent, `None` for a
root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops


def log_sum(x: Any, axis: int) -> Any:
    """Returns log sum exp over an axis, for finite values.

    Those of backends care for infinite ones too, at twice the operations, and a chain is made of these.
    """
    top = ops.stop_gradient(ops.max(x, axis=axis, keepdims=True))
    return ops.log(ops.sum(ops.exp(x - top), axis=axis)) + ops.squeeze(top, axis)


class Tree:
    """A tree, or several side by side, whose nodes are numbered depth first.

    Args:
        parents: The parent of each node, which comes before it, or `None` for a root. The nodes of a subtree
            follow each other.
    """

    def __init__(self, parents: Sequence[int | None]) -> None:
        self.parents = tuple(parents)
        self.children: list[list[int]] = [[] for _ in self.parents]
        for node, parent in enumerate(self.parents):
            if parent is not None:
                self.children[parent].append(node)

    @property
    def forks(self) -> bool:
        """Whether a node has several children."""
        return any(len(children) > 1 for children in self.children)

    def upward(self, own: Sequence[Any], tables: Sequence[Any]) -> list[Any]:
        """Returns by node what its subtree tells its parent, `(batch, classes of the parent)`."""
        messages: list[Any] = [None] * len(self.parents)
        for node in reversed(range(len(self.parents))):
            if self.parents[node] is not None:
                inside = self.with_children(node, own[node], messages)
                messages[node] = log_sum(tables[node] + ops.expand_dims(inside, 1), axis=2)
        return messages

    def downward(
        self, own: Sequence[Any], tables: Sequence[Any], before: Sequence[Any], behind: Sequence[Any]
    ) -> list[Any]:
        """Returns by node what the others tell it that are not in its subtree, `(batch, classes)`.

        Args:
            own: As above.
            tables: As above.
            before: Messages of `upward`, of siblings that come before the node.
            behind: The same, of siblings that come behind it.
        """
        messages: list[Any] = [None] * len(self.parents)
        for node, children in enumerate(self.children):
            inside = own[node] if messages[node] is None else own[node] + messages[node]
            rest: list[Any] = [None]
            for child in reversed(children[1:]):
                rest.append(behind[child] if rest[-1] is None else rest[-1] + behind[child])
            for child, others in zip(children, reversed(rest), strict=False):
                around = inside if others is None else inside + others
                messages[child] = log_sum(ops.expand_dims(around, 2) + tables[child], axis=1)
                inside = inside + before[child]
        return messages

    def with_children(self, node: int, values: Any, messages: Sequence[Any]) -> Any:
        """Returns values of a node plus what its children tell it."""
        for child in self.children[node]:
            values = values + messages[child]
        return values

    def mode(self, own: Sequence[Any], tables: Sequence[Any]) -> list[Any]:
        """Returns by node its class in the most probable assignment, int32 `(batch,)`."""
        count = len(self.parents)
        messages: list[Any] = [None] * count
        pointers: list[Any] = [None] * count
        for node in reversed(range(count)):
            pointers[node] = inside = self.with_children(node, own[node], messages)
            if self.parents[node] is not None:
                pointers[node] = tables[node] + ops.expand_dims(inside, 1)
                messages[node] = ops.max(pointers[node], axis=2)
        answers: list[Any] = []
        for parent, pointer in zip(self.parents, pointers, strict=True):
            best = ops.cast(ops.argmax(pointer, axis=-1), "int32")
            if parent is not None:
                best = ops.take_along_axis(best, ops.expand_dims(answers[parent], -1), axis=-1)[:, 0]
            answers.append(best)
        return answers
