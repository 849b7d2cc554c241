"""One call of a layer, as the rules see it, and what they find."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mtlkeras.compress._channels import Channels, Numbers

Kept = Callable[[Numbers], np.ndarray]
"""Tells of channels which stay, as bool."""

Edit = Callable[[dict[str, Any], Kept], None]
"""Changes the config of a layer for the channels that stay."""


MAKES, READS = "makes", "reads"


@dataclasses.dataclass(frozen=True)
class Slice:
    """An axis of a weight that has an entry for each of some channels.

    Args:
        weight: The variable.
        axis: The axis, from the last one back.
        channels: The numbers of the channels along it.
        role: `MAKES` for entries that make the channel (a filter, a bias, a scale), `READS` for those that it
            is multiplied by on its way into others, `None` for statistics and the like.
    """

    weight: Any
    axis: int
    channels: Numbers
    role: str | None = None


class Refused(Exception):
    """A rule cannot tell what removed channels would do; says why."""


class Call:
    """A layer's call: the channels on the last axis of what it takes, and of what it gives.

    Args:
        node: The node of the graph.
        given: By input, the numbers of its channels; `None` for what has none, such as masks and ids.
        channels: All channels.
    """

    def __init__(self, node: Any, given: list[Numbers | None], channels: Channels) -> None:
        self.layer, self.inputs, self.outputs = node.operation, node.input_tensors, node.outputs
        self.arguments = node.arguments
        self.given, self.channels = given, channels
        self.slices: list[Slice] = []
        self.edits: list[Edit] = []
        self.made: Numbers | None = None

    @property
    def x(self) -> Numbers:
        """The channels of the first input.

        Raises:
            Refused: If it has none.
        """
        if not self.given or self.given[0] is None:
            raise Refused("its input has no channels on the last axis")
        return self.given[0]

    def make(self, count: int) -> Numbers:
        """Returns new channels, which the layer makes."""
        self.made = self.channels.fresh(count)
        return self.made

    def slice(self, weight: Any, axis: int, channels: Numbers, role: str | None = None) -> None:
        """Notes that a weight has an entry for each channel along an axis, if it is there."""
        if weight is None:
            return
        if weight.shape[axis] != len(channels):
            raise Refused(f"its weight '{weight.name}' has another size than its channels")
        self.slices.append(Slice(weight, axis, channels, role))

    def weight(self, name: str, of: Any = None) -> Any:
        """Returns a weight of the layer by its name, or `None`."""
        return next((w for w in (of or self.layer).weights if w.name == name), None)

    def set_count(self, key: str, channels: Numbers, per: int = 1) -> None:
        """Has an entry of the config be the number of channels that stay, over `per`."""

        def edit(config: dict[str, Any], kept: Kept) -> None:
            config[key] = int(kept(channels).sum()) // per

        self.edits.append(edit)

    def tie_groups(self, channels: Numbers, groups: int) -> None:
        """Has the channels of the same place in each of several groups go together."""
        for group in np.split(channels, groups)[1:]:
            self.channels.tie(channels[: len(group)], group)

    def same(self, channels: Numbers) -> list[Numbers | None]:
        """Returns the channels for each output of floats.

        Raises:
            Refused: If an output has another number of them.
        """
        return [channels if has_channels(x) else None for x in self._checked(channels)]

    def _checked(self, channels: Numbers) -> Iterable[Any]:
        for x in self.outputs:
            if has_channels(x) and x.shape[-1] != len(channels):
                raise Refused("it gives another number of channels than it takes")
        return self.outputs


def has_channels(tensor: Any) -> bool:
    """Returns whether a symbolic tensor has features along its last axis: a mask or an id has none."""
    is_float = "float" in str(tensor.dtype)
    return is_float and len(tensor.shape) > 1 and tensor.shape[-1] is not None
