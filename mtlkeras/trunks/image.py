"""What all convolutional trunks have in common: fields, the choice of a stem, a check of the size."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.specs import tunable
from mtlkeras.trunks._checks import check_regularization
from mtlkeras.trunks._source import check_sources, split_source
from mtlkeras.trunks.base import Trunk, scaled_image
from mtlkeras.trunks.stages import Flow

SMALL_IMAGE = 64
"""Images with a shorter side under this many pixels get the small stem under `stem="auto"`."""


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class ImageTrunk(Trunk):
    """Base of the trunks for images of shape `(height, width, channels)`.

    Whole-number pixels 0..255 are scaled to 0..1 inside the trunk; float pixels pass
    unchanged. Kernels start with He's normal initialisation.

    Args:
        width: Number of channels of the first stage, which all others are multiples of;
            `None` for the paper's.
        l1: L1 penalty on every kernel of the trunk.
        l2: L2 penalty on every kernel of the trunk: `l2 * sum(kernel ** 2)`.
        dropout: Rate of dropout, in [0, 1).
        normalization: What follows each convolution: `"batch"`, `"group"` (up to 32
            groups of channels), `"layer"` (over the channels of each pixel) or `None`; or
            `"batch_per_source"`, batch statistics of each data set apart, whose number the input
            `"source"` tells beside the image (`mtlkeras.layers.BatchNormalizationPerSource`).
        sources: How many data sets there are, for `"batch_per_source"`.
        use_bias: Whether convolutions have biases; `None` for only those that no
            normalisation follows, since it has a bias of its own.
        stem: `"imagenet"` for the paper's first layers, `"small"` for first layers that
            keep small images from vanishing, `"auto"` for `"small"` where the shorter side
            is under 64 pixels and `"imagenet"` otherwise. `stem_for` tells which.

    `remat` is that of every `Trunk`. A subclass defines `minimum_size`, `stages` and `end`; `start` is here.
    """

    gives: ClassVar = ("vector", "map")
    normalizations: ClassVar[tuple[str | None, ...]] = ("batch", "batch_per_source", "group", "layer", None)

    width: int | None = tunable(None, None, 16, 32, 64)
    l1: float = tunable(0.0, 0.0, 1e-6, 1e-5, 1e-4)
    l2: float = tunable(0.0, 0.0, 1e-5, 1e-4, 5e-4)
    dropout: float = tunable(0.0, 0.0, 0.1, 0.2, 0.3, 0.5)
    normalization: str | None = tunable("batch", "batch", "group", "layer")
    sources: int | None = None
    use_bias: bool | None = None
    stem: str = "auto"

    def validate(self) -> None:
        check_choice(self, "normalization", self.normalizations)
        check_sources(self)
        check_choice(self, "stem", ("auto", "imagenet", "small"))
        check_regularization(self)
        if self.width is not None:
            check_positive(self, "width")

    def stem_for(self, height: int | None, width: int | None) -> str:
        """Returns the stem, `"imagenet"` or `"small"`, for images of this many pixels.

        Args:
            height: Height in pixels, or `None` where it varies.
            width: Width in pixels, or `None` where it varies.
        """
        if self.stem != "auto":
            return self.stem
        return "small" if shorter_side(height, width) < SMALL_IMAGE else "imagenet"

    def minimum_size(self, stem: str) -> int:
        """Returns the shortest side in pixels that the trunk takes with a stem."""
        raise NotImplementedError

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the image, scaled, after a check of its size."""
        inputs, beside = split_source(self, inputs)
        image = scaled_image(self, inputs)
        height, width = image.shape[1:3]
        stem = self.stem_for(height, width)
        if shorter_side(height, width) < self.minimum_size(stem):
            raise ValueError(self._too_small(height, width, stem))
        return Flow(image, beside=beside)

    def _stem_of(self, flow: Flow) -> str:
        """Returns the stem for the image at the start."""
        return self.stem_for(*flow.x.shape[1:3])

    def _too_small(self, height: int | None, width: int | None, stem: str) -> str:
        fields = f"depth={self.depth}, " if "depth" in self.field_names() else ""  # type: ignore[attr-defined]
        least = self.minimum_size(stem)
        return (
            f"{type(self).__name__}({fields}stem={stem!r}) needs images of at least {least}x{least} pixels; "
            f"received {height}x{width}. {', or '.join(self._remedies(shorter_side(height, width)))}."
        )

    def _remedies(self, side: float) -> list[str]:
        """Returns what can be changed for images with this shorter side."""
        fits_small = self.stem != "small" and side >= self.minimum_size("small")
        return ["Enlarge the images", *(["use stem='small'"] if fits_small else [])]


def shorter_side(height: int | None, width: int | None) -> float:
    """Returns the shorter known side; infinity where none is known."""
    return min((side for side in (height, width) if side is not None), default=float("inf"))
