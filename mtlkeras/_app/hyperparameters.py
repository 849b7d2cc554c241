"""The `hp` that a recipe's `build(hp)` gets outside of a search: defaults, or values set by hand."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtlkeras._errors import near_match, unknown_name

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class HyperParameters:
    """Answers as a `keras_tuner.HyperParameters` does, without needing KerasTuner.

    Every value is its default, unless it is set here by name. `build(hp)` therefore serves
    a script, the command line and a search alike.

    Args:
        settings: Values by full name, as text or as they are. Inside `hp.name_scope("trunk")`
            the full name of `depth` is `trunk/depth`.
        fixed: Values that whoever runs the recipe knows, such as `epochs`; they are given
            whatever the recipe asks for under these names.

    Attributes:
        values: The values given out so far, by full name.

    Example:

    ```python
    hp = HyperParameters({"trunk/depth": "20"})
    with hp.name_scope("trunk"):
        trunk = mtlkeras.trunks.ResNet.tune(hp)
    hp.check()
    ```
    """

    def __init__(
        self, settings: Mapping[str, Any] | None = None, fixed: Mapping[str, Any] | None = None
    ) -> None:
        self.values: dict[str, Any] = {}
        self._settings = dict(settings or {})
        self._given = dict(fixed or {})
        self._scopes: list[str] = []

    def give(self, **fixed: Any) -> None:
        """Adds values that whoever runs the recipe came to know."""
        self._given |= fixed

    def Choice(
        self, name: str, values: Sequence[Any], ordered: Any = None, default: Any = None, **_: Any
    ) -> Any:
        """Returns one of `values`; the first of them unless there is a default."""
        default = values[0] if default is None else default
        return self._value(name, default, lambda full, text: _chosen(full, text, values))

    def Int(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str = "linear",
        default: int | None = None,
        **_: Any,
    ) -> int:
        """Returns a whole number from `min_value` to `max_value`."""
        default = min_value if default is None else default
        return self._value(name, default, lambda full, text: _number(full, text, int, min_value, max_value))

    def Float(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str = "linear",
        default: float | None = None,
        **_: Any,
    ) -> float:
        """Returns a number from `min_value` to `max_value`."""
        default = min_value if default is None else default
        return self._value(name, default, lambda full, text: _number(full, text, float, min_value, max_value))

    def Boolean(self, name: str, default: bool = False, **_: Any) -> bool:
        """Returns true or false."""
        return self._value(name, default, _truth)

    def Fixed(self, name: str, value: Any, **_: Any) -> Any:
        """Returns the value that the runner gave under this name, otherwise `value` or what is set.

        It is no part of a search; set by hand it may be any value of the type of `value`.
        """
        return self._value(name, value, lambda full, text: _alike(full, text, value))

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Puts `name/` before the names asked for inside."""
        self._scopes.append(name)
        try:
            yield
        finally:
            self._scopes.pop()

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Any) -> Iterator[None]:
        """Marks values that matter only for some values of another one."""
        yield

    def get(self, name: str) -> Any:
        """Returns a value that was asked for before.

        Raises:
            KeyError: If it was not.
        """
        return self.values[self._full(name)]

    def check(self) -> None:
        """Checks that every setting was asked for.

        Raises:
            ValueError: For a setting that the recipe does not have, with the nearest one.
        """
        settings = [name for name in self.values if name not in self._given]
        for name in self._settings:
            if name in self._given:
                raise ValueError(f"Setting '{name}' is fixed: the run gives it.")
            if name not in settings:
                raise unknown_name("setting", name, settings, "--set")

    def _full(self, name: str) -> str:
        return "/".join([*self._scopes, name])

    def _value(self, name: str, default: Any, read: Any) -> Any:
        full = self._full(name)
        if full in self._given:
            self.values[full] = self._given[full]
        elif full not in self.values:
            self.values[full] = read(full, self._settings[full]) if full in self._settings else default
        return self.values[full]


def _chosen(name: str, text: Any, values: Sequence[Any]) -> Any:
    for value in values:
        if text == value or str(text) == str(value) or _same_number(text, value):
            return value
    raise ValueError(
        f"Setting '{name}' must be one of {', '.join(map(str, values))}; received {text!r}."
        f"{near_match(text, map(str, values))}"
    )


def _same_number(text: Any, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return float(text) == value
    except (TypeError, ValueError):
        return False


def _number(name: str, text: Any, kind: type, least: float, most: float) -> Any:
    try:
        value = kind(text)
    except (TypeError, ValueError):
        value = math.nan
    if not least <= value <= most:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"Setting '{name}' must be {what} from {least:g} to {most:g}; received {text!r}.")
    return value


def _alike(name: str, text: Any, value: Any) -> Any:
    """Reads a setting as the type of the value that it stands in for."""
    if isinstance(value, bool):
        return _truth(name, text)
    if isinstance(value, (int, float)):
        return _number(name, text, type(value), -math.inf, math.inf)
    return text


def _truth(name: str, text: Any) -> bool:
    try:
        return _TRUTH[str(text).lower()]
    except KeyError:
        raise ValueError(f"Setting '{name}' must be true or false; received {text!r}.") from None
