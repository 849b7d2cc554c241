"""Values of the fields of specs: brought to plain Python, and held to the fields' annotations."""

from __future__ import annotations

import collections.abc
import functools
import math
import operator
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import near_match

_SERIES = (tuple, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)
_VIEWS = (collections.abc.KeysView, collections.abc.ValuesView, collections.abc.ItemsView)
_MISFIT = object()
_WORDS = {
    Any: "anything",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    types.NoneType: "None",
}
_SEVERAL = {int: "whole numbers", float: "numbers", str: "texts"}


class FrozenDict(dict):
    """A dict that hashes, so that specs with mappings stay hashable values."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted(self.items(), key=repr)))

    def _refuse(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("The fields of a spec cannot be changed; use spec.replace(...).")

    __setitem__ = __delitem__ = update = pop = popitem = clear = setdefault = _refuse  # type: ignore[assignment]

    def __reduce__(self):
        return (FrozenDict, (dict(self),))


def frozen(value: Any) -> Any:
    """Returns plain, immutable Python values for what people write.

    Lists, ranges, views of dicts, arrays, pandas' columns and tensors with a value become tuples,
    scalars of NumPy those of Python. So equal specs stay equal after a JSON round trip.
    """
    if isinstance(value, (str, int, float)) and not isinstance(value, np.generic):
        return value
    if isinstance(value, (list, tuple, range, *_VIEWS)):
        return tuple(frozen(v) for v in value)
    if isinstance(value, Mapping):
        return FrozenDict({frozen(k): frozen(v) for k, v in value.items()})
    if (keras.ops.is_tensor(value) and not is_symbolic(value)) or isinstance(value, keras.Variable):
        value = keras.ops.convert_to_numpy(value)
    if hasattr(value, "tolist") and not isinstance(value, type):
        listed = value.tolist()
        return listed if listed is value or type(listed) is type(value) else frozen(listed)
    return value


def is_symbolic(value: Any) -> bool:
    """Returns whether a value is a tensor that has no numbers yet."""
    if isinstance(value, keras.KerasTensor):
        return True
    if not keras.ops.is_tensor(value):
        return False
    try:
        keras.ops.convert_to_numpy(value)
    except (NotImplementedError, TypeError, AttributeError):
        return True
    return False


def checked(owner: str, field: str, value: Any, hint: Any) -> Any:
    """Returns a frozen value as the annotation of its field wants it.

    Where the annotation is `tuple[...]` (perhaps or `None`), a single value is a tuple of one; a
    single text only if the entries may be anything, for it may as well be meant letter by letter.

    Args:
        owner: Name of the spec's class, for errors.
        field: Name of the field.
        value: What `frozen` gave.
        hint: The resolved annotation.

    Raises:
        ValueError: If the value does not fit; it names spec, field, what was expected and received.
    """
    if any(is_symbolic(part) for part in (value if isinstance(value, tuple) else (value,))):
        raise ValueError(f"{owner}: {field} must be a plain value; received a symbolic tensor: {value!r}.")
    fitted = _fitted(value, hint)
    if fitted is not _MISFIT:
        return fitted
    series = _only_series(hint)
    if series is not None and not isinstance(value, (tuple, Mapping, set, frozenset)) and value is not None:
        one = _fitted((value,), series)
        if one is not _MISFIT and not (isinstance(value, str) and _entry(series) is str):
            return one
        if one is not _MISFIT:
            raise ValueError(
                f"{owner}: {field} must be {_described(hint)}; received the single text {value!r}: "
                f"write ({value!r},) for a tuple of one."
            )
    if _has_only_bad_numbers(value, hint):
        raise ValueError(f"{owner}: {field} must be finite; received {value!r}.")
    raise ValueError(f"{owner}: {field} must be {_described(hint)}; received {value!r}.")


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """Returns the resolved annotations of a class; `Any` for those that name what is not there."""
    try:
        return typing.get_type_hints(cls)
    except NameError:  # Of a class that is local to a function, or imported for type checkers only.
        return {}


def check_activation(owner: str, field: str, name: str) -> None:
    """Raises `ValueError` unless a name is that of one of Keras' activations."""
    try:
        keras.activations.get(name)
    except ValueError as error:
        names = [n for n in dir(keras.activations) if n.islower() and not n.startswith("_")]
        raise ValueError(
            f"{owner}: {field} must be the name of a Keras activation; received {name!r}."
            f"{near_match(name, names)}"
        ) from error


def check_choice(owner: Any, field: str, choices: Sequence[Any]) -> None:
    """Raises `ValueError` unless the value of an object's field is one of the choices."""
    value = getattr(owner, field)
    if value not in choices:
        raise ValueError(
            f"{type(owner).__name__}: {field} must be one of {', '.join(map(repr, choices))}; "
            f"received {value!r}.{near_match(value, [c for c in choices if isinstance(c, str)])}"
        )


def check_positive(owner: Any, *fields: str) -> None:
    """Raises `ValueError` for the first of an object's fields that is no whole number of at least 1."""
    for field in fields:
        whole_number(type(owner).__name__, field, getattr(owner, field))


def whole_number(owner: str, name: str, value: Any, lowest: int = 1) -> int:
    """Returns a whole number as an `int`.

    Raises:
        ValueError: If it is none, or below the lowest.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)) or number < lowest:
        raise ValueError(
            f"{owner}: {name} must be a whole number of at least {lowest}; received {value!r}."
        ) from None
    return number


def _fitted(value: Any, hint: Any) -> Any:
    """Returns the value as the annotation wants it, `_MISFIT` if it does not fit."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return next((v for v in (_fitted(value, option) for option in args) if v is not _MISFIT), _MISFIT)
    if hint is int:
        if isinstance(value, float) and value.is_integer():
            return int(value)  # As of labels that are floats: `labels.max() + 1`.
        return value if isinstance(value, int) and not isinstance(value, bool) else _MISFIT
    if hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return value if number and math.isfinite(value) else _MISFIT
    if (origin or hint) in _SERIES:
        if isinstance(value, str) and (origin or hint) is not tuple:
            return value if not args or args[0] in (Any, str) else _MISFIT
        return _fitted_series(value, args)
    if (origin or hint) in _MAPPINGS:
        if not isinstance(value, Mapping):
            return _MISFIT
        entries = {k: _fitted(v, args[1] if args else Any) for k, v in value.items()}
        return _MISFIT if any(v is _MISFIT for v in entries.values()) else FrozenDict(entries)
    return value if not isinstance(hint, type) or isinstance(value, hint) else _MISFIT


def _fitted_series(value: Any, args: tuple) -> Any:
    if not isinstance(value, tuple):
        return _MISFIT
    fixed = args and args[-1] is not Ellipsis and len(args) > 1  # Of so many entries.
    if fixed and len(args) != len(value):
        return _MISFIT
    kinds: Iterable[Any] = args if fixed else [args[0] if args else Any] * len(value)
    entries = tuple(_fitted(v, kind) for v, kind in zip(value, kinds, strict=True))
    return _MISFIT if any(v is _MISFIT for v in entries) else entries


def _options(hint: Any) -> list[Any]:
    """Returns what an annotation leaves to choose from besides `None`."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [h for h in (typing.get_args(hint) if is_union else (hint,)) if h is not types.NoneType]


def _only_series(hint: Any) -> Any:
    options = _options(hint)
    found = [h for h in options if (typing.get_origin(h) or h) in _SERIES]
    return found[0] if len(found) == len(options) == 1 else None


def _entry(series: Any) -> Any:
    return (typing.get_args(series) or (Any,))[0]


def _has_only_bad_numbers(value: Any, hint: Any) -> bool:
    """Returns whether a value would fit if its infinities and NaN were numbers."""

    def tamed(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(tamed(part) for part in x)
        if isinstance(x, Mapping):
            return {k: tamed(v) for k, v in x.items()}
        return 0.5 if isinstance(x, float) and not math.isfinite(x) else x

    return _fitted(tamed(value), hint) is not _MISFIT


def _described(hint: Any) -> str:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return " or ".join(_described_one(option) for option in options)


def _described_one(hint: Any) -> str:
    kind, args = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind in _SERIES:
        entry = _described_entries(_entry(hint))
        return f"a tuple of {entry}" if entry else "a tuple"
    if kind in _MAPPINGS:
        return f"a dict (of {_described(args[1])})" if args and args[1] is not Any else "a dict"
    return _WORDS.get(kind) or f"a {getattr(kind, '__name__', kind)}"


def _described_entries(entry: Any) -> str | None:
    """Returns what entries are in the plural; `None` where there is no short word."""
    inner = _SEVERAL.get(_entry(entry))
    return f"tuples of {inner}" if typing.get_origin(entry) is tuple and inner else _SEVERAL.get(entry)
