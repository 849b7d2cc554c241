"""The arguments of `load`, checked and gathered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._errors import unknown_name


@dataclasses.dataclass(frozen=True)
class Options:
    """See `mtlkeras.data.load` for what each field means."""

    split: str | None = None
    split_column: str = "split"
    fractions: Mapping[str, float] | None = None
    group_column: str | None = None
    labels: Any = None
    image_column: str | None = None
    image_size: Any = None
    channels: int | None = None
    vocabularies: Mapping[str, Sequence[Any]] | None = None
    batch_size: int = 32
    drop_remainder: bool = False
    shuffle: bool | None = None
    seed: int = 0
    cache: Any = False
    prefetch: int | None = None
    num_parallel: int | None = None
    data_dir: Any = None
    on_error: str = "raise"
    check_finite: bool = False
    verbose: Any = "auto"

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise unknown_name("value", self.on_error, ("raise", "skip"), "on_error=")
        if self.verbose not in ("auto", True, False):
            raise ValueError(f"verbose= must be 'auto', True or False; received {self.verbose!r}.")
        for name in ("batch_size", "prefetch", "num_parallel"):
            value = getattr(self, name)
            least = 0 if name == "prefetch" else 1
            if not (value is None and name != "batch_size") and (not isinstance(value, int) or value < least):
                raise ValueError(f"{name}= must be a whole number of at least {least}; received {value!r}.")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed= must be a whole number of at least 0; received {self.seed!r}.")
        if self.channels not in (None, 1, 3, 4):
            raise ValueError(f"channels= must be 1, 3 or 4; received {self.channels!r}.")
        object.__setattr__(self, "image_size", _size(self.image_size))

    @property
    def shuffled(self) -> bool:
        """Whether the data set is shuffled; by default only a training split is."""
        if self.shuffle is None:
            return self.split is not None and self.split.startswith("train")
        return bool(self.shuffle)


def _size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    size = (value, value) if isinstance(value, int) else tuple(value)
    if len(size) != 2 or not all(isinstance(v, int) and v > 0 for v in size):
        raise ValueError(f"image_size= must be a number of pixels or (height, width); received {value!r}.")
    return size
