"""A mix of arrays and `keras.utils.PyDataset`s, for training without pipelines of TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras.data._mix.allocation import row_places
from mtlkeras.data._mix.forms import Form, MixForm, SourceForm, named_labels, shape_of_both
from mtlkeras.data._mix.mixture import Mixture, Reading, Source, attach_mixture
from mtlkeras.data.order import attach_order

Parts = tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray] | None]
"""Inputs, labels and weights by name."""


class ArraySource:
    """Examples in memory, of which each pass has another order.

    Args:
        name: The source's name.
        data: `(x, y)` or `(x, y, sample_weight)`.
        batch_size: Examples in a batch.
        seed: Seeds of the orders; `None` keeps the order.
    """

    def __init__(self, name: str, data: tuple[Any, ...], batch_size: int, seed: Sequence[int] | None) -> None:
        self._parts, self.single = _parts(name, data), not isinstance(data[0], Mapping)
        lengths = {len(a) for part in self._parts if part for a in part.values()}
        if lengths == {0}:
            raise ValueError(f"mix: source '{name}' has no examples.")
        if len(lengths) > 1:
            raise ValueError(
                f"mix: the arrays of source '{name}' must have one number of rows; "
                f"received {sorted(lengths)}."
            )
        (count,) = lengths
        self._seed, self._count = seed, count
        self.source = Source(name, tuple(self._parts[1]), count, batch_size, -(-count // batch_size))
        self.form = _form(self.single, self._parts)

    def rows(self, passed: int, start: int, count: int) -> list[Parts]:
        """Returns examples of a pass, from one on and no more than to its end, in one part or several."""
        chosen = np.arange(start, min(start + count, self._count))
        if self._seed is not None:
            chosen = np.random.default_rng([*self._seed, passed]).permutation(self._count)[chosen]
        x, y, weights = self._parts
        return [(_rows(x, chosen), _rows(y, chosen), _rows(weights, chosen))]


class BatchSource:
    """The batches of a `keras.utils.PyDataset`: they, and the examples within, in another order in each pass.

    A last batch that is smaller stays the last.

    Args:
        name: The source's name.
        dataset: The data set.
        seed: Seeds of the orders; `None` keeps the order.
    """

    def __init__(self, name: str, dataset: keras.utils.PyDataset, seed: Sequence[int] | None) -> None:
        self._name, self._dataset, self._seed = name, dataset, seed
        batches = dataset.num_batches
        if batches == 0:
            raise ValueError(f"mix: source '{name}' has no examples.")
        first, size = self._read(0)
        last, rest = (first, size) if batches is None else self._read(batches - 1)
        self.single = not isinstance(dataset[0][0], Mapping)
        examples = None if batches is None else (batches - 1) * size + rest
        self._whole = batches if rest == size else (batches or 1) - 1
        self.source = Source(name, tuple(first[1]), examples, size, batches)
        form, other = _form(self.single, first), _form(self.single, last)
        self.form = with_free_times({"": _either(form, other)}, everywhere=True)[""]

    def rows(self, passed: int, start: int, count: int) -> list[Parts]:
        """Returns examples of a pass, from one on and no more than to its end, in one part or several."""
        size, order, found = self.source.batch_size, self._order(passed), []
        for place in range(start // size, -(-(start + count) // size)):
            if order is not None and place >= len(order):
                break
            number = place if order is None else int(order[place])
            (x, y, weights), rows = self._read(number)
            chosen = np.arange(rows)
            if self._seed is not None:
                chosen = np.random.default_rng([*self._seed, passed, number]).permutation(rows)
            chosen = chosen[max(start - place * size, 0) : start + count - place * size]
            found.append((_rows(x, chosen), _rows(y, chosen), _rows(weights, chosen)))
        return found

    def _order(self, passed: int) -> np.ndarray | None:
        batches = self.source.batches
        if batches is None:
            return None
        if self._seed is None:
            return np.arange(batches)
        drawn = np.random.default_rng([*self._seed, passed]).permutation(self._whole)
        return np.concatenate([drawn, np.arange(len(drawn), batches)])

    def _read(self, index: int) -> tuple[Parts, int]:
        parts = _parts(self._name, self._dataset[index])
        return parts, len(next(iter(parts[0].values())))


class MixedBatches(keras.utils.PyDataset):
    """A mix of sources that are no pipelines of TensorFlow: batches by their number.

    Args:
        sources: The sources.
        mixture: What each gives, epoch by epoch.
        form: What every batch holds.
        batch_size: Examples in a batch of several sources; `None` for whole batches of one.
        **kwargs: As of `keras.utils.PyDataset`.
    """

    def __init__(
        self,
        sources: Sequence[ArraySource | BatchSource],
        mixture: Mixture,
        form: MixForm,
        batch_size: int | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._sources, self._mixture, self._form, self._batch_size = list(sources), mixture, form, batch_size
        self._plan: _Plan | None = None
        attach_mixture(attach_order(self, mixture), mixture)

    @property
    def num_batches(self) -> int:
        return self._mixture.steps

    def on_epoch_end(self) -> None:
        self._mixture.epoch += 1

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        plan = self._planned()
        if self._batch_size is None:
            source = int(plan.reading.order[index])
            return self._packed(
                self._batch(source, int(plan.reading.starts[source] + plan.before[index]), plan)
            )
        begin, counts = plan.before[index], plan.counts[index]
        found = [
            part
            for source, (first, count) in enumerate(zip(begin.tolist(), counts.tolist(), strict=True))
            for part in self._rows(source, int(plan.reading.starts[source]) + first, count, plan)
        ]
        rows = np.argsort(plan.places[index * self._batch_size : (index + 1) * self._batch_size])
        fills = self._form.fills_by_name()
        return self._packed(tuple(_rows(part, rows) for part in joined_parts(found, fills)))

    def _planned(self) -> _Plan:
        epoch = self._mixture.epoch
        if self._plan is None or self._plan.epoch != epoch:
            self._plan = _Plan.of(epoch, self._mixture.reading(epoch), self._batch_size)
        self._mixture.last_epoch = epoch
        return self._plan

    def _batch(self, source: int, unit: int, plan: _Plan) -> Parts:
        one = self._sources[source]
        batches, size = one.source.batches, one.source.batch_size
        more, index = (0, unit) if batches is None else divmod(unit, batches)
        (parts,) = one.rows(int(plan.reading.passes[source]) + more, index * size, size)
        return completed(one.source.name, parts, self._form)

    def _rows(self, source: int, first: int, count: int, plan: _Plan) -> list[Parts]:
        one, found = self._sources[source], []
        examples = one.source.examples
        while count:
            more, place = (0, first) if examples is None else divmod(first, examples)
            number = count if examples is None else min(count, examples - place)
            parts = one.rows(int(plan.reading.passes[source]) + more, place, number)
            found += [completed(one.source.name, part, self._form) for part in parts]
            first, count = first + number, count - number
        return found

    def _packed(self, parts: Any) -> tuple[Any, ...]:
        x, y, weights = parts
        packed = x[""] if self._form.single else x
        return (packed, y) if weights is None else (packed, y, weights)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What each batch of an epoch is made of.

    Args:
        epoch: Number of the epoch.
        reading: What is read.
        before: Units of each source read before each batch: `(batches, sources)` of examples, or, of whole
            batches, those of the batch's own source, `(batches,)`.
        counts: Examples of each source in each batch, `(batches, sources)`.
        places: As of `row_places`.
    """

    epoch: int
    reading: Reading
    before: np.ndarray
    counts: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, epoch: int, reading: Reading, batch_size: int | None) -> _Plan:
        order, sources = reading.order, len(reading.counts)
        if batch_size is None:
            before = np.zeros(len(order), np.int64)
            for source in range(sources):
                own = order == source
                before[own] = np.arange(own.sum())
            return cls(epoch, reading, before, order[:0], order[:0])
        counts, places = row_places(order, batch_size, sources)
        return cls(epoch, reading, np.cumsum(counts, 0) - counts, counts, places)


def completed(source: str, parts: Parts, form: MixForm) -> Parts:
    """Returns a batch with the inputs and labels that its source lacks, filled."""
    x, y, weights = parts
    rows = len(next(iter(x.values())))
    inputs: dict[str, np.ndarray] = {}
    for name, wanted in form.inputs.items():
        fill = form.input_fill(name, source)
        inputs[name] = x[name] if name in x else _filled(wanted, rows, fill, {}, form)
    labels = {
        task: y[task].astype(wanted.dtype, copy=False)
        if task in y
        else _filled(wanted, rows, form.label_fill(task), inputs, form)
        for task, wanted in form.labels.items()
    }
    if form.weights is None:
        return inputs, labels, None
    given = weights or {}
    full = {
        task: given[task].astype("float32") if task in given else _filled(wanted, rows, 1, inputs, form)
        for task, wanted in form.weights.items()
    }
    return inputs, labels, full


def _filled(form: Form, rows: int, value: Any, inputs: Mapping[str, Any], mix: MixForm) -> np.ndarray:
    shape = [rows]
    for axis, size in enumerate(form.shape):
        name = mix.followed(axis) if size is None and inputs else None
        shape.append((1 if size is None else size) if name is None else inputs[name].shape[axis + 1])
    return np.full(shape, value, object if form.dtype == "string" else form.dtype)


def joined_parts(parts: Sequence[Any], fills: Mapping[tuple[int, str], Any]) -> Any:
    """Returns parts one after the other, shorter rows filled up."""
    return tuple(
        {n: _joined([p[i][n] for p in parts], fills.get((i, n), 0)) for n in parts[0][i]}  # type: ignore[call-overload]
        if parts[0][i] is not None
        else None
        for i in range(3)
    )


def _joined(arrays: Sequence[np.ndarray], fill: Any) -> np.ndarray:
    longest = np.max([a.shape for a in arrays], axis=0)[1:]
    padded = [
        np.pad(a, [(0, 0), *((0, n) for n in longest - a.shape[1:])], constant_values=fill)
        if tuple(longest) != a.shape[1:]
        else a
        for a in arrays
    ]
    return padded[0] if len(padded) == 1 else np.concatenate(padded)


def _rows(part: dict[str, np.ndarray] | None, rows: np.ndarray) -> Any:
    return None if part is None else {name: array[rows] for name, array in part.items()}


def _parts(name: str, data: Any) -> Parts:
    """Returns the arrays of `(x, y)` or `(x, y, sample_weight)` by name."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            f"mix: source '{name}' must be (inputs, labels by task), with or without sample weights; "
            f"received {type(data).__name__}."
        )
    x, y, *more = data
    if isinstance(x, (tuple, list)):
        raise ValueError(f"mix: the inputs of source '{name}' must be one array or a dict of them.")
    inputs = {str(n): np.asarray(a) for n, a in (x if isinstance(x, Mapping) else {"": x}).items()}
    labels = {task: np.asarray(a) for task, a in named_labels(name, y).items()}
    if not more or more[0] is None:
        return inputs, labels, None
    given = more[0] if isinstance(more[0], Mapping) else dict.fromkeys(labels, more[0])
    return inputs, labels, {task: np.asarray(a) for task, a in given.items()}


def _form(single: bool, parts: Parts) -> SourceForm:
    x, y, weights = ({n: _one(a) for n, a in part.items()} if part else None for part in parts)
    return SourceForm(x or {}, single, y or {}, weights)


def with_free_times(forms: Mapping[str, SourceForm], everywhere: bool = False) -> dict[str, SourceForm]:
    """Returns the forms with axes of time that have no size of their own.

    Args:
        forms: The forms by source.
        everywhere: Whether such axes are free also where all sources have one size.
    """
    found: dict[str, set[int | None]] = {}
    for form in forms.values():
        for name, one in form.inputs.items():
            if _is_time(one):
                found.setdefault(name, set()).add(one.shape[0])
    free = {name for name, sizes in found.items() if everywhere or len(sizes) > 1}

    def freed(form: SourceForm) -> SourceForm:
        times = {one.shape[0] for name, one in form.inputs.items() if name in free}
        inputs = {n: _free(one) if n in free else one for n, one in form.inputs.items()}
        tags = {t for t, one in form.labels.items() if len(one.shape) == 1 and not one.is_float}
        labels = {t: _free(o) if t in tags and o.shape[0] in times else o for t, o in form.labels.items()}
        return dataclasses.replace(form, inputs=inputs, labels=labels)

    return {source: freed(form) for source, form in forms.items()}


def _free(form: Form) -> Form:
    return Form((None, *form.shape[1:]), form.dtype)


def _is_time(form: Form) -> bool:
    """Whether the first axis of an input is that of time: of ids, of words, of vectors."""
    return len(form.shape) == (2 if form.is_float else 1)


def _one(array: np.ndarray) -> Form:
    return Form(tuple(array.shape[1:]), "string" if array.dtype.kind in "OUS" else array.dtype.name)


def _either(a: SourceForm, b: SourceForm) -> SourceForm:
    """Returns the form of two batches of one source, whose axes may differ in size."""

    def both(one: Mapping[str, Form], other: Mapping[str, Form]) -> dict[str, Form]:
        return {n: Form(shape_of_both(form.shape, other[n].shape), form.dtype) for n, form in one.items()}

    weights = both(a.weights, b.weights) if a.weights and b.weights else a.weights
    return SourceForm(both(a.inputs, b.inputs), a.single, both(a.labels, b.labels), weights)
