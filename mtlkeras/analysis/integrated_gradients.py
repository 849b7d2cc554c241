"""Integrated gradients: what each part of an input adds to an answer, by gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mtlkeras._backends import input_gradients
from mtlkeras._fields import whole_number
from mtlkeras._types import Inputs
from mtlkeras.analysis._entries import TOKENS, Entry, EntryPass, by_place
from mtlkeras.analysis._finite_scores import check_attributions, check_baseline, check_infinity, check_scores
from mtlkeras.analysis._input_values import (
    Values,
    default_baseline,
    input_values,
    ready,
    repeated,
    with_baseline,
)
from mtlkeras.analysis._targets import Target, results_of
from mtlkeras.analysis._words import encoder_of, tokens_of, words_of
from mtlkeras.analysis.explanation import Explanation, Part

_NAME = "integrated_gradients"


def integrated_gradients(
    model: Any,
    x: Inputs,
    task: str | None = None,
    target: Any = None,
    baseline: Any = None,
    steps: int = 32,
    at: int | None = None,
    batch_size: int = 32,
) -> Explanation:
    """Attributes an answer to the parts of its input by the gradients on the way from a baseline.

    Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks, equation 1: the difference
    between input and baseline times the mean gradient on the straight line between them, here by
    Gauss-Legendre quadrature. The attributions add up to the score less that of the baseline;
    `Explanation.gap` tells what is lacking, and more steps make it less.

    Words and categories have no gradients; the line then goes through their embeddings, from the zero vector
    for a word, from that of an unknown category. Positions and segments of BERT, masks and lengths stay.

    Args:
        model: A `MultiTaskModel`.
        x: Examples in memory, as for `predict`.
        task: The task; may be left out if there is one.
        target: Index or name of the class, yes/no label, mask or number whose score is explained, or one for
            each example. By default what the model answers: the class, the likeliest yes/no label, the class
            of the most pixels; of several numbers the first.
        baseline: What stands for nothing: a number, an array of the input's shape, or a dict of such by
            input. By default 0 in pictures, the mean in columns that the model standardises, else 0.
        steps: Points on the line.
        at: For heads that answer for every step: which step.
        batch_size: Rows that are computed at once.

    Returns:
        The attributions. The score is that which the head gives a class, yes/no label, tag or mask before
        softmax or sigmoid (of a tag before the chain over the tags, if there is one), of ordered classes the
        log-probability, of numbers the number; of an answer for every pixel the mean over the pixels.

    Raises:
        ValueError: If the task or target is unknown, the head answers for every step and `at` is not given,
            `steps` is not a whole number of at least 1, inputs or baseline do not fit, there is no example,
            an input is infinite, or NaN which the model does not take for missing, or the model makes
            features of words by no embedding; `occlusion` then does without gradients.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(2, class_names=("cat", "dog"))}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=8), heads)
    found = mtlkeras.analysis.integrated_gradients(model, np.ones((1, 4)), target="dog")
    found.frame()["attribution"]  # four numbers, which add up to
    found.scores - found.baseline_scores
    ```
    """
    aim = Target(model, task, target, at, _NAME)
    steps = whole_number(_NAME, "steps", steps)
    values = input_values(model, x, _NAME)
    inputs = ready(model, values)
    aim.fix(results_of(model, inputs))
    run = EntryPass(model.scored, _NAME)
    entries = run.entries(inputs)
    if not entries:
        raise ValueError(f"{_NAME}: the model '{model.name}' makes numbers of none of its inputs.")
    blank, own = with_baseline(default_baseline(model, values), baseline, _NAME)
    for inputs_of, given_by in ((values, "x"), (blank, "baseline=")):
        check_infinity(_NAME, inputs_of, given_by)
    check_baseline(_NAME, blank, values)
    line = _Line(run, entries, _starts(run, entries, model, blank, own), aim)
    rows = np.arange(len(inputs[0]))
    scores, starts = line.score(inputs, rows, 1.0), line.score(inputs, rows, 0.0)
    check_scores(_NAME, scores, values, "x")
    check_scores(_NAME, starts, blank, "baseline=")
    found = line.attributions(model, values, steps, max(1, batch_size // len(rows)))
    check_attributions(_NAME, found)
    parts = _parts(model, values, entries, found)
    names, method = tuple(aim.names()), "integrated gradients"
    return Explanation(aim.task, method, names, aim.indices(), scores, starts, parts)


class _Line:
    """The straight line from baselines to what is at a model's entries.

    Args:
        run: The pass.
        entries: The entries.
        starts: The baselines, in the shapes of the entries.
        aim: What is explained.
    """

    def __init__(self, run: EntryPass, entries: list[Entry], starts: list[np.ndarray], aim: Target) -> None:
        self._run, self._starts, self._aim = run, starts, aim
        ends = [_array(entry.value) for entry in entries]
        self._dtypes = [entry.value.dtype for entry in entries]
        # What is missing, NaN, stays so on the whole line.
        self._changes = [end - start for start, end in zip(starts, ends, strict=True)]

    def score(self, inputs: list[Any], rows: np.ndarray, place: float) -> np.ndarray:
        """Returns the scores of the examples at a place on the line, 0 for its start and 1 for its end."""
        results = self._run.outputs(inputs, self._points([place]))
        return _array(self._aim.score(results, rows))

    def attributions(self, model: Any, values: Values, steps: int, at_once: int) -> list[np.ndarray]:
        """Returns at each entry the change along the line times the mean gradient on it."""
        places, weights = np.polynomial.legendre.leggauss(steps)  # Between -1 and 1, of the sum 2.
        places, weights = (places + 1) / 2, weights / 2
        means = [np.zeros_like(change) for change in self._changes]
        for first in range(0, steps, at_once):
            some = slice(first, first + at_once)
            found = self._gradients(model, values, places[some])
            for mean, gradients in zip(means, found, strict=True):
                mean += np.tensordot(weights[some], gradients, axes=1)
        changes = [np.nan_to_num(change) for change in self._changes]
        return [np.where(c == 0, 0.0, c * mean) for c, mean in zip(changes, means, strict=True)]

    def _gradients(self, model: Any, values: Values, places: np.ndarray) -> list[np.ndarray]:
        """Returns the gradients at each entry, `(places, examples, ...)`."""
        inputs = ready(model, repeated(values, len(places)))
        count = len(self._changes[0])
        rows = np.tile(np.arange(count), len(places))

        def score(points: list[Any]) -> Any:
            return self._aim.score(self._run.outputs(inputs, points), rows)

        _, found = input_gradients(score, self._points(places))
        arrays = map(_array, found)
        return [a.reshape(len(places), count, *a.shape[1:]) for a in arrays]

    def _points(self, places: Any) -> list[Any]:
        return [
            keras.ops.convert_to_tensor(np.concatenate([start + p * change for p in places]), dtype)
            for start, change, dtype in zip(self._starts, self._changes, self._dtypes, strict=True)
        ]


def _starts(
    run: EntryPass, entries: list[Entry], model: Any, blank: Values, given: set[str]
) -> list[np.ndarray]:
    """Returns the baselines at the entries: zero vectors of words, else what the inputs' baselines give."""
    others = run.entries(ready(model, blank))
    starts = []
    for entry, other in zip(entries, others, strict=True):
        own = entry.kind != TOKENS or not given.isdisjoint(entry.sources)
        starts.append(_array(other.value) if own else _without_words(entry))
    return starts


def _without_words(entry: Entry) -> np.ndarray:
    """Returns zero vectors for all but the marks that the model puts in itself."""
    values, ids = _array(entry.value), keras.ops.convert_to_numpy(entry.ids)
    marks = np.isin(ids[..., 0] if ids.ndim == 3 else ids, entry.marks)
    return np.where(marks.reshape(*marks.shape, *[1] * (values.ndim - 2)), values, 0.0)


def _parts(model: Any, values: Values, entries: list[Entry], found: list[np.ndarray]) -> dict[str, Part]:
    """Returns attributions by input: those of all layers that read it, added up."""
    encoder = encoder_of(model)
    parts: dict[str, Part] = {}
    order = list(values)
    pairs = sorted(zip(entries, found, strict=True), key=lambda pair: order.index(pair[0].sources[0]))
    for entry, attributions in pairs:
        name = " + ".join(entry.sources)
        placed = by_place(entry, attributions)
        shown = _shown(entry, values, encoder)
        placed = placed.reshape(shown.shape) if placed.size == shown.size else placed
        if name in parts and parts[name].attributions.shape != placed.shape:
            name = f"{name} ({len(parts) + 1})"
        before = parts[name].attributions if name in parts else 0.0
        parts[name] = Part(name, before + placed, shown)
    return parts


def _shown(entry: Entry, values: Values, encoder: Any) -> np.ndarray:
    """Returns what stands at the places of an entry."""
    alone = entry.sources[0] if len(entry.sources) == 1 else None
    if entry.kind == TOKENS:
        texts = None if alone is None else tokens_of(values[alone], encoder)
        return np.array(words_of(keras.ops.convert_to_numpy(entry.ids), encoder, texts), object)
    return keras.ops.convert_to_numpy(entry.ids) if alone is None else values[alone]


def _array(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor).astype("float64")
