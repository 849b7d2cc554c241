"""The layers that decoders are made of, with a head's width and penalties and its task's names."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from mtlkeras._types import Tensor
from mtlkeras.layers.resize_like import ResizeLike


@dataclasses.dataclass(frozen=True)
class Parts:
    """Makes the layers of one head's decoder, in float32 whatever the policy.

    Args:
        task: The head's task, with which all names begin.
        width: Channels of each convolution.
        activation: What follows those that are not linear.
        penalty: Regulariser of the kernels, or `None`.
    """

    task: str
    width: int
    activation: str
    penalty: Any

    def conv(self, kernel: int, name: str, activation: str | None = None) -> Any:
        """Returns a convolution that keeps the size."""
        return keras.layers.Conv2D(
            self.width,
            kernel,
            padding="same",
            activation=activation,
            kernel_regularizer=self.penalty,
            dtype="float32",
            name=f"{self.task}_{name}",
        )

    def lateral(self, tap: str, x: Tensor) -> Tensor:
        """Returns a tap's map with the decoder's channels, by a 1 x 1 convolution."""
        return self.conv(1, f"{tap}_lateral")(x)

    def resized(self, x: Tensor, like: Tensor, name: str) -> Tensor:
        """Returns a map in the size of another."""
        size = tuple(like.shape[1:3])
        if None in (*size, *x.shape[1:3]):
            return ResizeLike(dtype="float32", name=f"{self.task}_{name}_resize")([x, like])
        return to_size(x, size, f"{self.task}_{name}_resize")

    def sum(self, tensors: list[Tensor], name: str) -> Tensor:
        """Returns the sum of maps."""
        return keras.layers.Add(dtype="float32", name=f"{self.task}_{name}")(tensors)

    def joined(self, tensors: list[Tensor], name: str) -> Tensor:
        """Returns maps with their channels beside each other."""
        return keras.layers.Concatenate(dtype="float32", name=f"{self.task}_{name}")(tensors)


def to_size(x: Tensor, size: tuple[int, ...], name: str) -> Tensor:
    """Returns a map of known size in another, bilinearly."""
    if tuple(x.shape[1:3]) == tuple(size):
        return x
    return keras.layers.Resizing(*size, interpolation="bilinear", dtype="float32", name=name)(x)
