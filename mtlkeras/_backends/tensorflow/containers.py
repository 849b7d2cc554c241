"""TensorFlow: containers that functions of tensors take and give."""

from __future__ import annotations

from typing import TypeVar

Container = TypeVar("Container", bound=type)


def container(cls: Container) -> Container:
    """Class decorator for what `parts()` makes anew; a step is one function, so nothing is to be done."""
    return cls
