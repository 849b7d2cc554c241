"""A part of a graph as a `keras.Model` of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from mtlkeras._keras_private import call_behind


def as_inner(inputs: Any) -> Any:
    """Returns inputs of a nested model that is going to be called with `inputs`."""
    return keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), inputs
    )


def apart(function: Callable[[Any], Any], given: Any, name: str) -> Any:
    """Returns what a function makes of symbolic tensors, with its layers in a `keras.Model` of their own.

    Layers' names must be unique within a model: parts with layers of the same names fit side by side in
    one model where each is a model.

    Args:
        function: What makes the layers, such as a stage or the end of a trunk.
        given: What it takes: a `Flow`, or tensors in dicts, lists and tuples.
        name: Name of the model.

    Returns:
        What the function returns, on the tensors given. Where that is a `Flow`, the tensors that it cut
        within the model are left out.

    Example:

    ```python
    trunk, x = mtlkeras.trunks.ResNet(depth=8, width=4), keras.Input((28, 28, 1))
    one, two = (mtlkeras.trunks.apart(trunk, x, name) for name in ("one", "two"))
    model = keras.Model(x, [one.vector, two.vector])
    [layer.name for layer in model.layers[1:]]  # ['one', 'two']
    ```
    """
    return Part(function, given, name)(given)


class Part:
    """A part of a graph as a model, which can be called again: its layers are shared by all calls.

    Args:
        function: What makes the layers.
        given: What it takes, for the first time.
        name: Name of the model.
    """

    def __init__(self, function: Callable[[Any], Any], given: Any, name: str) -> None:
        outer = _distinct(_tensors(given))
        self._pattern = _pattern(given)
        self._inner = [as_inner(x) for x in outer]
        self._found = function(_swapped(given, outer, self._inner))
        self._made = [x for x in _distinct(_tensors(self._found)) if not any(x is own for own in self._inner)]
        needed = sources(self._made)
        self._places = [place for place, own in enumerate(self._inner) if id(own) in needed]
        self.model: Any = None  # None where nothing was made of what was given.
        if self._made and self._places:
            self.model = keras.Model([self._inner[place] for place in self._places], self._made, name=name)

    def __call__(self, given: Any) -> Any:
        """Returns what the function returned, on other tensors of the same structure.

        Raises:
            ValueError: If one tensor stands where there were two, or the other way about.
        """
        outer = _distinct(_tensors(given))
        if _pattern(given) != self._pattern:
            raise ValueError(f"A part is called with tensors {_pattern(given)} after {self._pattern}.")
        if self.model is None:
            return _swapped(self._found, self._inner, outer)
        outputs = keras.tree.flatten(self.model([outer[place] for place in self._places]))
        return _swapped(self._found, [*self._inner, *self._made], [*outer, *outputs])

    def freeze(self) -> None:
        """Leaves the part out of training."""
        if self.model is not None:
            self.model.trainable = False


def _tensors(value: Any) -> list[Any]:
    """Returns the symbolic tensors in a structure or in the fields of a dataclass, but for its `cuts`."""
    if dataclasses.is_dataclass(value):
        fields = [f.name for f in dataclasses.fields(value) if f.name != "cuts"]
        return [x for name in fields for x in _tensors(getattr(value, name))]
    return [x for x in keras.tree.flatten(value) if isinstance(x, keras.KerasTensor)]


def _distinct(tensors: list[Any]) -> list[Any]:
    return list({id(x): x for x in tensors}.values())


def _pattern(value: Any) -> list[int]:
    """Returns of each tensor of a structure the place of the first that is the same."""
    ids = [id(x) for x in _tensors(value)]
    return [ids.index(x) for x in ids]


def _swapped(value: Any, old: list[Any], new: list[Any]) -> Any:
    """Returns a value with other tensors in place of some; what it cuts elsewhere is left out."""
    by_id = {id(a): b for a, b in zip(old, new, strict=True)}

    def swap(part: Any) -> Any:
        return keras.tree.map_structure(lambda x: by_id.get(id(x), x), part)

    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return swap(value)
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    tensors = {name: swap(part) for name, part in fields.items() if _tensors(part)}
    cuts = tuple(by_id[id(x)] for x in fields["cuts"] if id(x) in by_id)
    return dataclasses.replace(value, **{**tensors, "cuts": cuts})


def sources(tensors: list[Any]) -> set[int]:
    """Returns the ids of all symbolic tensors that some depend on, themselves included."""
    found: set[int] = set()
    waiting = list(tensors)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in found:
            found.add(id(tensor))
            waiting += call_behind(tensor).inputs
    return found
