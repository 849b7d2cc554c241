"""What a trunk is made of: stages, and what flows from one to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras

from mtlkeras._types import Tensor
from mtlkeras.trunks._apart import apart

POOLED_MASK = "pooled_mask"
"""Name beside a flow of the mask of its tensor, where the time has been pooled."""


@dataclasses.dataclass(frozen=True)
class Flow:
    """What stands between two stages of a trunk.

    Args:
        x: The tensor that the last stage gave. Before the first stage it is what the trunk was called
            with, made ready: a tensor, or a dict of them.
        beside: Tensors that several stages or the end need beside it, by name, such as a text's `"mask"`.
            What pools the time puts in the mask that is left, as `"pooled_mask"`.
        taps: Tensors that heads can read, by name, from shallow to deep.
        cuts: Tensors that are kept for the backward pass where a trunk has `remat=True`; what lies between
            them is computed again.

    Example:

    ```python
    flow = mtlkeras.trunks.Flow(keras.Input((8,)))
    flow = flow.to(keras.layers.Dense(4)(flow.x))
    flow.x.shape  # (None, 4)
    ```
    """

    x: Any
    beside: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    taps: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    cuts: tuple[Any, ...] = ()

    @property
    def mask(self) -> Any:
        """The mask of `x` where that is a sequence; `None` if there is none."""
        return self.beside.get(POOLED_MASK, self.beside.get("mask"))

    def to(
        self, x: Tensor, beside: Mapping[str, Any] | None = None, taps: Mapping[str, Any] | None = None
    ) -> Flow:
        """Returns the flow with another tensor, and with tensors beside it and taps changed or added."""
        return dataclasses.replace(
            self, x=x, beside={**self.beside, **(beside or {})}, taps={**self.taps, **(taps or {})}
        )

    def cut(self) -> Flow:
        """Returns the flow with its tensor among those that are kept for the backward pass."""
        new = [x for x in keras.tree.flatten(self.x) if not any(x is kept for kept in self.cuts)]
        return dataclasses.replace(self, cuts=(*self.cuts, *new))


@dataclasses.dataclass(frozen=True)
class Stage:
    """A named part of a trunk: a function from the flow before it to the flow after it.

    Called with a `Flow` of symbolic tensors it makes its layers, under names of their own, and gives the
    flow after it, in which its output is a tap under the stage's name.

    Args:
        name: The name, which that of the tap is too.
        function: Makes the layers; from `Flow` to `Flow`.

    Raises:
        TypeError: When called, if the function gives no `Flow`.

    Example:

    ```python
    def doubled(flow):
        return flow.to(keras.layers.Rescaling(2.0, name="double")(flow.x))


    stage = mtlkeras.trunks.Stage("doubled", doubled)
    list(stage(mtlkeras.trunks.Flow(keras.Input((8,)))).taps)  # ['doubled']
    ```
    """

    name: str
    function: Callable[[Flow], Flow]

    def __call__(self, flow: Flow) -> Flow:
        """Returns the flow after the stage."""
        after = self.function(flow)
        if not isinstance(after, Flow):
            raise TypeError(
                f"Stage '{self.name}': its function must return a Flow, such as flow.to(x); "
                f"received {after!r}."
            )
        tap = {self.name: after.x} if isinstance(after.x, keras.KerasTensor) else {}
        return after.to(after.x, taps=tap).cut()

    def apart(self, flow: Flow, name: str | None = None) -> Flow:
        """As a call, with the stage's layers in a `keras.Model` of their own.

        Layers' names must be unique within a model: so several trunks of one spec fit side by side.

        Args:
            flow: The flow before the stage.
            name: Name of the model; `None` for that of the stage.
        """
        return apart(self, flow, name or self.name).cut()
