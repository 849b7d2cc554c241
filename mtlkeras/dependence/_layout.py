"""Trees from pairs of neighbours."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def depth_first(pairs: Iterable[tuple[Node, Node]]) -> tuple[list[Node], list[int | None]]:
    """Returns the nodes of a tree depth first, and the number of each node's parent, `None` for a root.

    The root is the first node named, as it is of each further part that nothing joins to the first; children
    come in the order of the pairs.

    Args:
        pairs: Neighbours, in either order.

    Raises:
        ValueError: If the pairs close a circle.
    """
    neighbours: dict[Node, list[Node]] = {}
    parts: dict[Node, Node] = {}

    def part_of(node: Node) -> Node:
        while parts.setdefault(node, node) != node:
            node = parts[node]
        return node

    for one, other in pairs:
        if part_of(one) == part_of(other):
            raise ValueError(
                f"TaskChain: tree has a circle: its pair ({_name(one)!r}, {_name(other)!r}) joins what is "
                "joined already. A tree of n links has n - 1 pairs."
            )
        parts[part_of(one)] = part_of(other)
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    nodes: list[Node] = []
    parents: list[int | None] = []
    for root in neighbours:
        waiting: list[tuple[Node, int | None]] = [] if root in nodes else [(root, None)]
        while waiting:
            node, parent = waiting.pop()
            nodes.append(node)
            parents.append(parent)
            above = None if parent is None else nodes[parent]
            place = len(nodes) - 1
            waiting += [(next_, place) for next_ in reversed(neighbours[node]) if next_ != above]
    return nodes, parents


def in_a_row(nodes: Sequence[Node]) -> list[int | None]:
    """Returns the parents of nodes of which each hangs on the one before."""
    return [None, *range(len(nodes) - 1)]


def _name(node: object) -> str:
    return node if isinstance(node, str) else "/".join(str(part) for part in node if part is not None)  # type: ignore[attr-defined]
