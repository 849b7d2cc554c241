"""The arguments of `load`, checked and gathered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras.text._splitting import check_rule


@dataclasses.dataclass(frozen=True)
class Options:
    """See `mtlkeras.data.load`, which has an argument for each field, for what they mean."""

    split: str | None = None
    split_column: str = "split"
    fractions: Mapping[str, float] | None = None
    group_column: str | None = None
    labels: Any = None
    image_column: str | None = None
    image_size: Any = None
    channels: int | None = None
    vocabularies: Mapping[str, Any] | None = None
    fill: Mapping[str, Any] | None = None
    columns: Sequence[str] | None = None
    quotes: bool = True
    tokenize: Mapping[str, str] | None = None
    max_length: int | None = None
    truncate: bool = False
    group_by_length: bool = False
    pad_multiple: int = 1
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

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Options:
        """Returns the options among the arguments of `load`."""
        return cls(**{field.name: arguments[field.name] for field in dataclasses.fields(cls)})

    def __post_init__(self) -> None:
        if self.on_error not in ("raise", "skip"):
            raise unknown_name("value", self.on_error, ("raise", "skip"), "on_error=")
        if self.verbose not in ("auto", True, False):
            raise ValueError(f"verbose= must be 'auto', True or False; received {self.verbose!r}.")
        for name in ("batch_size", "pad_multiple", "prefetch", "num_parallel", "max_length"):
            value = getattr(self, name)
            least = 0 if name == "prefetch" else 1
            may_be_none = name not in ("batch_size", "pad_multiple")
            if not (value is None and may_be_none) and (not isinstance(value, int) or value < least):
                raise ValueError(f"{name}= must be a whole number of at least {least}; received {value!r}.")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed= must be a whole number of at least 0; received {self.seed!r}.")
        for name, rule in (self.tokenize or {}).items():
            check_rule(f"tokenize= of '{name}'", rule)
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
