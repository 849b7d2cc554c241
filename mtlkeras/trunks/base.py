"""The bases of all trunks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.specs import Spec
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks._source import PER_SOURCE
from mtlkeras.trunks.stages import Flow, Stage


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class Trunk(Spec):
    """A shared body: called with the model's `keras.Input`s it gives `Features`, stage by stage.

    A subclass is a `mtlkeras.specs.spec` with plain fields. It names in `gives` the kinds of feature that it
    offers, lists its stages in `stages` and makes the features in `end`; what comes before the first stage
    and has no weights is in `start`. A trunk that defines `__call__` alone works too, but has no stages for
    what goes along them.

    Args:
        remat: Whether the backward pass computes the activations within a stage again, from the stages'
            outputs, in place of keeping them: less memory in training for one more forward pass (Chen et
            al. 2016, Training Deep Nets with Sublinear Memory Cost). Losses, gradients and weights are the
            same. It holds in models of `mtlkeras.build_model`.

    Example:

    ```python
    @mtlkeras.spec
    class Tower(mtlkeras.trunks.Trunk):
        gives = ("vector",)
        depth: int = 2

        def stages(self, flow):
            return [mtlkeras.trunks.Stage(f"floor_{n + 1}", self.floor) for n in range(self.depth)]

        def floor(self, flow):
            name = f"floor_{len(flow.taps) + 1}"
            return flow.to(keras.layers.Dense(16, "relu", name=name)(flow.x))

        def end(self, flow):
            return mtlkeras.Features(vector=flow.x, taps=flow.taps, source=self)


    list(Tower()(keras.Input((8,))).taps)  # ['floor_1', 'floor_2']
    ```
    """

    gives: ClassVar[tuple[str, ...]] = ()
    makes_weights: ClassVar[bool] = True
    """Whether each call makes weights of its own; else all calls share those of one model."""

    remat: bool = False

    @property
    def prepares_inputs(self) -> bool:
        """Whether the trunk scales its inputs or fills gaps in them, so that others should not read them."""
        return False

    @property
    def reads_source(self) -> bool:
        """Whether the trunk reads the source of each example, from an input named `"source"`."""
        return getattr(self, "normalization", None) == PER_SOURCE

    def __call__(self, inputs: Tensor | NamedTensors) -> Features:
        """Builds the trunk's layers on symbolic inputs.

        Args:
            inputs: A `keras.Input`, or a dict of them.
        """
        flow = self.start(inputs)
        for stage in self.stages(flow):
            flow = stage(flow)
        return dataclasses.replace(self.end(flow), cuts=flow.cuts if self.remat else ())

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns what the first stage begins with: the inputs checked and made ready.

        Its layers have no weights, so that several trunks of one spec can begin with one start.

        Args:
            inputs: A `keras.Input`, or a dict of them.

        Raises:
            ValueError: If the inputs do not fit the trunk.
        """
        return Flow(inputs)

    def stages(self, flow: Flow) -> Sequence[Stage]:
        """Returns the stages, in their order. Each list of them makes layers of its own, each stage once.

        Args:
            flow: What `start` gave.

        Raises:
            NotImplementedError: If the trunk has no stages.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no stages: it must define stages(flow), a list of "
            "mtlkeras.trunks.Stage, and end(flow), as the trunks of mtlkeras.trunks do. A functional "
            "keras.Model gets them from mtlkeras.trunks.Staged(model, cuts=(...))."
        )

    def end(self, flow: Flow) -> Features:
        """Returns the features, made of what the last stage gave.

        Args:
            flow: The flow after the last stage, with the taps of all.
        """
        raise NotImplementedError(f"{type(self).__name__} has stages, so it must define end(flow) too.")

    def own_inputs(self, inputs: Tensor | NamedTensors) -> Any:
        """Returns the inputs that the trunk's own model has, which is then called with `inputs`."""
        return as_inner(inputs)


def single_input(trunk: Trunk, inputs: Any, rank: int, expected: str) -> Any:
    """Returns the one input tensor of the rank that a trunk needs.

    Args:
        trunk: The trunk, for the error message.
        inputs: What the trunk was called with; a dict of one is taken for its value.
        rank: Rank the tensor must have, the batch axis included.
        expected: The shape in words, such as `"(height, width, channels)"`.

    Raises:
        ValueError: If there are several inputs or the rank differs.
    """
    name = type(trunk).__name__
    flat = keras.tree.flatten(inputs)
    if len(flat) != 1:
        raise ValueError(f"{name} takes one input of shape {expected}; received {len(flat)} inputs.")
    if len(flat[0].shape) != rank:
        raise ValueError(
            f"{name} takes inputs of shape {expected}; received shape {tuple(flat[0].shape[1:])}."
        )
    return flat[0]


def scaled_image(trunk: Trunk, inputs: Any) -> Any:
    """Returns the image input as floats: whole-number pixels 0..255 become 0..1.

    Float inputs pass unchanged. The scaling is a layer of the trunk, so it is there after
    export too.
    """
    image = single_input(trunk, inputs, 4, "(height, width, channels)")
    if not keras.backend.is_float_dtype(image.dtype):
        image = keras.layers.Rescaling(1.0 / 255, name="pixel_scaling")(image)
    return image
