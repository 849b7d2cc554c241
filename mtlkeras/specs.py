"""The base of all specs: small immutable values that describe a part of a model.

A spec has plain constructor arguments, survives `keras.saving`, compares by value, prints
as an expression that rebuilds it, and can draw its fields from a `HyperParameters`. It owns
no variables: it builds Keras layers that do.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, TypeVar, dataclass_transform

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._fields import checked, frozen, hints

__all__ = ["Spec", "spec", "tunable"]

SpecT = TypeVar("SpecT", bound="Spec")


def tunable(default: Any, *choices: Any, low: Any = None, high: Any = None, log: bool = False) -> Any:
    """Declares a field with a default value and the space that `tune` draws it from.

    Args:
        default: The default value.
        *choices: What the field may be; the default must be one of them.
        low: In place of choices, the lowest value. Whole numbers make an integer range, others a float range.
        high: The highest value.
        log: Whether a range is logarithmic.

    Raises:
        ValueError: If the default is not one of the choices.

    Example:

    ```python
    @mtlkeras.specs.spec
    class Head(mtlkeras.specs.Spec):
        units: int = mtlkeras.specs.tunable(64, 32, 64, 128)
        rate: float = mtlkeras.specs.tunable(1e-3, low=1e-4, high=1e-2, log=True)


    Head(units=32)
    ```
    """
    if choices and default not in choices:
        raise ValueError(f"The default {default!r} is not one of the choices {choices}.")
    space = {"choices": choices} if choices else {"low": low, "high": high, "log": log}
    return dataclasses.field(default=default, metadata={"space": space})


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, tunable))
def spec(cls: type[SpecT]) -> type[SpecT]:
    """Class decorator: makes a frozen dataclass that Keras can serialise by name.

    Raises:
        TypeError: If the class leaves out what its base asks of every class like it.
    """
    gaps = sorted(getattr(cls, "__abstractmethods__", ()))
    if gaps:
        raise TypeError(f"{cls.__name__} does not define {', '.join(gaps)}, which every {_kind(cls)} must.")
    cls = dataclasses.dataclass(frozen=True, repr=False)(cls)
    cls.__init__ = _naming_unknown_fields(cls.__init__, cls)  # type: ignore[method-assign]
    return keras.saving.register_keras_serializable("mtlkeras")(cls)


def _kind(cls: type) -> str:
    """Returns the name of the class that says what is missing."""
    gap = min(cls.__abstractmethods__)  # type: ignore[attr-defined]
    return next(base.__name__ for base in reversed(cls.__mro__) if gap in vars(base))


def _naming_unknown_fields(init: Any, cls: type[SpecT]) -> Any:
    """Returns a constructor that names the nearest field for one that is not known."""
    names = cls.field_names()

    @functools.wraps(init)  # It keeps the signature.
    def __init__(self: Any, *args: Any, **fields: Any) -> None:
        for name in fields:
            if name not in names:
                raise unknown_name("field", name, names, f"{cls.__name__}(...)")
        init(self, *args, **fields)

    return __init__


class Spec:
    """Base class of trunks, sharing schemes, heads and balancers.

    Subclasses are decorated with `spec` and declare their fields as a dataclass does.
    What is written into a field becomes plain Python values (lists, arrays, ranges and columns
    of pandas tuples; scalars of NumPy those of Python) of the type that its annotation says; a
    single value is a tuple of one where a tuple is asked for. What does not fit is a `ValueError`
    that names spec and field. A subclass that checks more does so in `validate`, which runs after that.
    """

    def __post_init__(self) -> None:
        annotations = hints(type(self))  # type: ignore[arg-type]  # A class does hash.
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = frozen(getattr(self, field.name))
            value = checked(type(self).__name__, field.name, value, annotations.get(field.name, Any))
            object.__setattr__(self, field.name, value)
        self.validate()

    def validate(self) -> None:
        """Raises `ValueError` for fields that do not fit; by default all fit."""

    def get_config(self) -> dict[str, Any]:
        """Returns the fields as plain, serialisable values."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_config(cls: type[SpecT], config: dict[str, Any]) -> SpecT:
        """Rebuilds the spec from the result of `get_config`."""
        return cls(**{name: _revived(value) for name, value in config.items()})

    @classmethod
    def field_names(cls) -> list[str]:
        """Names of the constructor's arguments."""
        return [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def tune(cls: type[SpecT], hp: Any, **fixed: Any) -> SpecT:
        """Draws every field that has a space and is not fixed from `hp`.

        With a fresh `keras_tuner.HyperParameters()` this gives the default spec. Wrap the
        call in `with hp.name_scope("trunk"):` where two specs share field names.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            **fixed: Fields to hold at a value.

        Raises:
            ValueError: If `fixed` names a field that the spec lacks.
        """
        for name in fixed:
            if name not in cls.field_names():
                raise unknown_name("field", name, cls.field_names(), f"{cls.__name__}.tune")
        values = dict(fixed)
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            if field.name not in fixed and "space" in field.metadata:
                values[field.name] = _draw(hp, field.name, field.default, **field.metadata["space"])
        return cls(**values)

    def replace(self: SpecT, **changes: Any) -> SpecT:
        """Returns a copy with some fields changed."""
        for name in changes:
            if name not in self.field_names():
                raise unknown_name("field", name, self.field_names(), f"{type(self).__name__}.replace")
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def __repr__(self) -> str:
        changed = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
            if f.default is dataclasses.MISSING or getattr(self, f.name) != f.default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def _draw(
    hp: Any,
    name: str,
    default: Any,
    choices: Any = None,
    low: Any = None,
    high: Any = None,
    log: bool = False,
) -> Any:
    if choices:
        if set(map(type, choices)) == {bool}:  # As a choice it would come back as 0 or 1.
            return hp.Boolean(name, default=default)
        if all(isinstance(choice, (bool, int, float, str)) for choice in choices):
            return hp.Choice(name, list(choices), default=default)
        by_text = {repr(choice): choice for choice in choices}  # A search stores plain values only.
        return by_text[hp.Choice(name, list(by_text), default=repr(default))]
    sampling = "log" if log else "linear"
    if isinstance(low, int) and isinstance(high, int):
        return hp.Int(name, low, high, sampling=sampling, default=default)
    return hp.Float(name, low, high, sampling=sampling, default=default)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        # JSON turns every key into a string, so keys of other types travel as pairs.
        if all(isinstance(k, str) for k in value):
            return {k: _plain(v) for k, v in value.items()}
        return {"__pairs__": [[k, _plain(v)] for k, v in value.items()]}
    if hasattr(value, "get_config"):
        return keras.saving.serialize_keras_object(value)
    return value


def _revived(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_revived(v) for v in value)
    if isinstance(value, dict):
        if "class_name" in value and "config" in value:
            return keras.saving.deserialize_keras_object(value)
        if "__pairs__" in value:
            return {k: _revived(v) for k, v in value["__pairs__"]}
        return {k: _revived(v) for k, v in value.items()}
    return value
