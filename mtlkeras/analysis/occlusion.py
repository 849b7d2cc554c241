"""Occlusion: what each part of an input adds to an answer, by taking it away."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import numpy as np

from mtlkeras._fields import whole_number
from mtlkeras._types import Inputs
from mtlkeras.analysis._finite_scores import check_attributions, check_infinity, check_scores
from mtlkeras.analysis._input_values import (
    Values,
    categories_of,
    default_baseline,
    input_names,
    input_values,
    ready,
    with_baseline,
)
from mtlkeras.analysis._targets import Target, results_of
from mtlkeras.analysis._words import encoder_of, tokens_of, without, words_of
from mtlkeras.analysis.explanation import Explanation, Part, Patch

_NAME = "occlusion"
_PATCHES = 8
"""How many patches there are along the shorter side of a picture."""


@dataclasses.dataclass(frozen=True)
class _Cover:
    """Something to take away of an input.

    Args:
        name: The input.
        places: What is taken away: an index of the attributions behind the example.
        covered: Gives the input without it.
    """

    name: str
    places: tuple[Any, ...]
    covered: Callable[[], np.ndarray]


def occlusion(
    model: Any,
    x: Inputs,
    task: str | None = None,
    target: Any = None,
    baseline: Any = None,
    size: int | None = None,
    stride: int | None = None,
    at: int | None = None,
    batch_size: int = 32,
) -> Explanation:
    """Attributes an answer to the parts of its input by how much lower its score is without each.

    Zeiler and Fergus 2014, Visualizing and Understanding Convolutional Networks, section 4.2. Of a picture a
    square patch at a time is covered; of a text a word becomes an unknown one, or is left out where that
    cannot be written; of a vector or a table each number and each category is replaced; of a sequence of
    vectors each step. It needs no gradients. Parts that stand in for each other get little, whichever of
    them is taken away.

    Args:
        model: A `MultiTaskModel`.
        x: Examples in memory, as for `predict`.
        task: The task; may be left out if there is one.
        target: As for `integrated_gradients`.
        baseline: What stands in the place of what is taken away: a number, an array of the input's shape, or
            a dict of such by input, such as the most frequent category of a column. By default the median of
            each channel of the picture (the paper has grey), the mean in columns that the model standardises,
            else 0; unknown words and categories.
        size: Side of the patch in pixels; by default an eighth of the picture's shorter side.
        stride: Pixels from patch to patch; by default the size. A pixel under several has their mean.
        at: For heads that answer for every step: which step.
        batch_size: Rows that are computed at once.

    Returns:
        The attributions: the score less that without the part. They need not add up to anything.

    Raises:
        ValueError: If the task or target is unknown, the head answers for every step and `at` is not given,
            a size is not a whole number of at least 1, a stride is larger, inputs or baseline do not fit, an
            input is infinite, or NaN which the model does not take for missing, or there is no example.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(2, class_names=("cat", "dog"))}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=8), heads)
    mtlkeras.analysis.occlusion(model, np.ones((1, 4)), baseline=0.5).top(2)
    ```
    """
    aim = Target(model, task, target, at, _NAME)
    sides = _sides(size, stride)
    values = input_values(model, x, _NAME)
    aim.fix(results_of(model, ready(model, values)))
    blank, given = with_baseline(_blank(model, values), baseline, _NAME)
    for inputs, given_by in ((values, "x"), (blank, "baseline=")):
        check_infinity(_NAME, inputs, given_by)
    ways = _Ways(model, values, blank, given)
    covers = [cover for name in values for cover in ways.covers(name, *sides)]
    rows = np.arange(len(next(iter(values.values()))))
    scores = _scores(model, aim, values, rows)
    check_scores(_NAME, scores, values, "x")
    sums = {name: np.zeros(part.attributions.shape) for name, part in ways.parts.items()}
    counts = {name: np.zeros(part.attributions.shape[1:]) for name, part in ways.parts.items()}
    patches: dict[str, list[Patch]] = {name: [] for name in ways.parts}
    for cover, without_it in _by_cover(model, aim, values, covers, max(1, batch_size // len(rows))):
        inner = (slice(None), *cover.places)
        drop = scores - without_it
        sums[cover.name][inner] += drop.reshape(-1, *(1,) * (sums[cover.name][inner].ndim - 1))
        counts[cover.name][cover.places] += 1
        if values[cover.name].ndim == 4:
            rows_of, columns = cover.places
            patches[cover.name].append(Patch(rows_of, columns, drop))
    parts = {
        name: dataclasses.replace(
            part, attributions=sums[name] / np.maximum(counts[name], 1), patches=tuple(patches[name])
        )
        for name, part in ways.parts.items()
    }
    check_attributions(_NAME, (part.attributions for part in parts.values()))
    starts = _scores(model, aim, ways.nothing(), rows)
    check_scores(_NAME, starts, ways.nothing(), "baseline=")
    return Explanation(aim.task, _NAME, tuple(aim.names()), aim.indices(), scores, starts, parts)


def _blank(model: Any, values: Values) -> Values:
    """Returns the default baselines, with the colour of its median pixel for a picture.

    Black, or grey, would put an edge into every picture whose background is another.
    """
    found = default_baseline(model, values)
    for name, array in values.items():
        if array.ndim == 4:
            middle = np.median(array, axis=(1, 2), keepdims=True)
            found[name] = np.broadcast_to(middle, array.shape).astype(array.dtype)
    return found


def _sides(size: int | None, stride: int | None) -> tuple[int | None, int | None]:
    sides = {"size": size, "stride": stride}
    size, stride = (None if n is None else whole_number(_NAME, name, n) for name, n in sides.items())
    if size is not None and stride is not None and stride > size:
        raise ValueError(f"{_NAME}: stride={stride} with size={size} leaves pixels out that no patch covers.")
    return size, stride


def _scores(model: Any, aim: Target, values: Values, rows: np.ndarray) -> np.ndarray:
    found = aim.score(results_of(model, ready(model, values)), rows)
    return keras.ops.convert_to_numpy(found).astype("float64")


def _by_cover(
    model: Any, aim: Target, values: Values, covers: list[_Cover], at_once: int
) -> Iterator[tuple[_Cover, np.ndarray]]:
    """Yields the covers with the scores of all examples without what they take away."""
    count = len(next(iter(values.values())))
    for first in range(0, len(covers), at_once):
        some = covers[first : first + at_once]
        versions = [{**values, cover.name: cover.covered()} for cover in some]
        stacked = {name: np.concatenate([v[name] for v in versions]) for name in values}
        found = _scores(model, aim, stacked, np.tile(np.arange(count), len(some)))
        yield from zip(some, found.reshape(len(some), count), strict=True)


class _Ways:
    """How parts are taken away from each of a model's inputs.

    Args:
        model: The model.
        values: The inputs.
        blank: What stands in their place.
        given: The inputs whose `blank` is the caller's.
    """

    def __init__(self, model: Any, values: Values, blank: Values, given: set[str]) -> None:
        self._values, self._blank, self._given = values, blank, given
        self._encoder = encoder_of(model)
        tensors = zip(input_names(model), keras.tree.flatten(model.input), strict=True)
        categories = categories_of(model)
        self._texts = {name for name, x in tensors if name not in categories and self._is_text(x)}
        self.parts = {name: self._part(name) for name in values}

    def _is_text(self, tensor: Any) -> bool:
        """Whether an input that is no category is read word by word."""
        if tensor.dtype == "string":
            return len(tensor.shape) == 2 or self._encoder is not None
        return keras.backend.is_int_dtype(tensor.dtype) and len(tensor.shape) in (2, 3)

    def _part(self, name: str) -> Part:
        values = self._values[name]
        shown = self._words(name) if name in self._texts else values
        shape = shown.shape[:3] if shown.ndim == 4 else shown.shape[:2] if shown.ndim == 3 else shown.shape
        if shown.ndim == 3:  # Of steps with several numbers each step is one place.
            shown = np.array([[f"step {i}" for i in range(shape[1])]] * shape[0], object)
        return Part(name, np.zeros(shape), shown)

    def _words(self, name: str) -> np.ndarray:
        values = self._values[name]
        tokens = tokens_of(values, self._encoder)
        if tokens is None:
            return np.array(words_of(values, self._encoder, None), object)
        if values.ndim > 1:  # Padding may stand anywhere.
            return np.array([[_text(token) for token in row] for row in values], object)
        longest = max((len(row) for row in tokens), default=0)
        return np.array([[*row, *[""] * (longest - len(row))] for row in tokens], object)

    def covers(self, name: str, size: int | None, stride: int | None) -> Iterator[_Cover]:
        """Yields all that is taken away of an input."""
        if self._values[name].ndim == 4:
            yield from self._patches(name, size, stride)
            return
        for index in np.ndindex(self.parts[name].attributions.shape[1:]):
            covered = self._without_word if self._by_word(name) else self._without
            yield _Cover(name, index, partial(covered, name, index))

    def _by_word(self, name: str) -> bool:
        return name in self._texts and name not in self._given

    def _patches(self, name: str, size: int | None, stride: int | None) -> Iterator[_Cover]:
        height, width = self._values[name].shape[1:3]
        size = size or -(-min(height, width) // _PATCHES)
        stride = min(stride or size, size)
        for top in range(0, height, stride):
            for left in range(0, width, stride):
                places = slice(top, min(top + size, height)), slice(left, min(left + size, width))
                yield _Cover(name, places, partial(self._without, name, places))

    def _without(self, name: str, places: tuple[Any, ...]) -> np.ndarray:
        found = self._values[name].copy()
        inner = (slice(None), *places)
        found[inner] = self._blank[name][inner]
        return found

    def _without_word(self, name: str, places: tuple[Any, ...]) -> np.ndarray:
        return without(self._values[name], places[0], self._encoder)

    def nothing(self) -> Values:
        """Returns the inputs with everything taken away."""
        found = dict(self._blank)
        for name in filter(self._by_word, self._texts):
            found[name] = self._values[name]
            for step in reversed(range(self.parts[name].attributions.shape[1])):
                found[name] = without(found[name], step, self._encoder)
        return found


def _text(token: Any) -> str:
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else str(token)
