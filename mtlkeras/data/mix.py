"""`mix`: several data sets that label different tasks, as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras.data._mix.batches import ArraySource, BatchSource, MixedBatches, with_free_times
from mtlkeras.data._mix.forms import merged
from mtlkeras.data._mix.mixture import Mixture, Source
from mtlkeras.data._mix.reports import with_merged_report
from mtlkeras.data.alternation import mark_alternating
from mtlkeras.data.schedules import Proportional, Schedule

if TYPE_CHECKING:
    import tensorflow as tf

_BATCH_SIZE = 32


def mix(
    sources: Mapping[str, Any],
    schedule: Schedule | None = None,
    *,
    stop: str | int = "all",
    within: str = "epoch",
    batch_size: int | None = None,
    shuffle: bool = True,
    fill: Mapping[str, Any] | None = None,
    source_input: str | None = None,
    seed: int = 0,
) -> tf.data.Dataset | keras.utils.PyDataset:
    """Makes one data set of several, which may label other tasks and have other inputs.

    Every batch has labels of all tasks; those that a source lacks are missing (-1, or NaN in float
    labels). An input that a source lacks is filled; see `fill`. All batches have one structure, so that
    a training step is traced once.

    What is read in an epoch is a function of the seed and the epoch alone, and goes on in each source where
    the epoch before ended: every example of a source comes once before any comes twice, and each pass has
    a new order. The counts of the sources are fixed ones and not drawn, so that their shares hold in every
    part of an epoch and over any number of epochs, each to within one unit: a batch or, with
    `within="batch"`, an example.

    Args:
        sources: By name, either `tf.data.Dataset`s of batches, `(inputs, labels)` or `(inputs, labels,
            sample_weights)`; or `keras.utils.PyDataset`s of such batches and such tuples of arrays. Labels
            are dicts by task; a bare array has the labels of the task that its source is named for.
        schedule: How much each source gives: `Proportional` to its size (the default), `Temperature`,
            `Weighted`, `Alternating`, `Annealed` or `ByLoss`.
        stop: When an epoch ends: `"all"`, when every source was gone through; `"first"`, when the first one
            was; or a number of batches. What changes with the epoch does not change its length, which is
            that of the first one.
        within: `"epoch"`: every batch has examples of one source, as it came from it. `"batch"`: every
            batch has examples of all sources, in their shares and in a drawn order.
        batch_size: Examples in a batch of several sources, and of sources of arrays. By default that of
            the sources, for arrays 32.
        shuffle: Whether the order changes with the epoch. Sources that do not shuffle themselves are then
            shuffled here (those of more than 256 MB within a buffer of that size; the batches of a
            `PyDataset` stay together). `False`, for evaluation, reads each source from its beginning in each
            epoch, at most once.
        fill: By input, what stands for it where a source lacks it. By default that is 0, or `""`: padding in
            sequences, which is masked there, and nothing in a sum or a linear projection.
        source_input: Name of a further input, int32 `(batch,)`: the number of each example's source, in the
            order of `sources`. It is what `normalization="batch_per_source"` of trunks and `present=` of
            `SharedProjection` go by. Other inputs must have names too.
        seed: Seed of all orders.

    Returns:
        A `tf.data.Dataset`; of arrays and `PyDataset`s, a `keras.utils.PyDataset`, which needs no TensorFlow.
        `mixture` tells its shares and counts; `MultiTaskModel.fit` logs `<source>_examples`.

    Raises:
        ValueError: If a source is empty, or endless without a number of batches in `stop`; if inputs or
            labels of one name differ in shape or type, or the classes of one task in their names; if a source
            has the name of a task that it has no labels for; if a task has labels where an input of its other
            sources is lacking; or an argument does not fit.

    Example:

    ```python
    colours = mtlkeras.data.load({"x": np.ones((90, 2)), "y": np.arange(90) % 3}, {"colour": "y"}, "x")
    sizes = mtlkeras.data.load({"x": np.ones((10, 2)), "y": np.arange(10.0)}, {"size": "y"}, "x")
    mixed = mtlkeras.data.mix({"a": colours, "b": sizes}, mtlkeras.data.Temperature(2.0), seed=1)
    x, y = next(iter(mixed))  # x (batch, 2), y {"colour": (batch,), "size": (batch,)}
    ```
    """
    schedule = Proportional() if schedule is None else schedule
    arguments = _Arguments(schedule, stop, within, batch_size, shuffle, fill, source_input, seed)
    sources = _checked(sources, arguments)
    if all(hasattr(source, "element_spec") for source in sources.values()):
        mixed = with_merged_report(_mixed_pipelines(sources, arguments), sources)
        return _marked(mixed, sources, within)
    for name, source in sources.items():
        if hasattr(source, "element_spec"):
            raise ValueError(
                f"mix: source '{name}' is a tf.data.Dataset and others are not. mtlkeras.data.load makes "
                "one of arrays."
            )
    return _marked(_mixed_arrays(sources, arguments), sources, within)


@dataclasses.dataclass(frozen=True)
class _Arguments:
    """The arguments of `mix`, the sources left out."""

    schedule: Schedule
    stop: str | int
    within: str
    batch_size: int | None
    shuffle: bool
    fill: Mapping[str, Any] | None
    source_input: str | None
    seed: int


def _marked(mixed: Any, sources: Mapping[str, Any], within: str) -> Any:
    """Marks a data set in whose batches sources take turns, of which `fit` warns some models."""
    return mark_alternating(mixed, list(sources)) if within == "epoch" else mixed


def _mixed_pipelines(sources: Mapping[str, Any], given: _Arguments) -> Any:
    from mtlkeras.data._mix.streams import measured, mixed_stream, stream
    from mtlkeras.data._mix.tensors import source_form

    forms = {name: source_form(name, dataset) for name, dataset in sources.items()}
    form = merged(forms, given.fill, given.source_input)
    found = {name: measured(name, dataset, tuple(forms[name].labels)) for name, dataset in sources.items()}
    sizes = {name: source for name, (source, _) in found.items()}
    of_batch = _size_of_batches(sizes, given)
    mixture = _mixture(sizes, given, of_batch)
    streams = {}
    for number, (name, dataset) in enumerate(sources.items()):
        drawn = _drawn_seed(given.seed, number) if given.shuffle else None
        streams[name] = stream(dataset, *found[name], forms[name], form, drawn)
    return mixed_stream(streams, mixture, form, of_batch)


def _mixed_arrays(sources: Mapping[str, Any], given: _Arguments) -> Any:
    opened: dict[str, ArraySource | BatchSource] = {}
    for number, (name, source) in enumerate(sources.items()):
        drawn = (given.seed, number) if given.shuffle else None
        opened[name] = (
            BatchSource(name, source, drawn)
            if isinstance(source, keras.utils.PyDataset)
            else ArraySource(name, source, given.batch_size or _BATCH_SIZE, drawn)
        )
    forms = with_free_times({name: one.form for name, one in opened.items()})
    form = merged(forms, given.fill, given.source_input)
    sizes = {name: one.source for name, one in opened.items()}
    of_batch = _size_of_batches(sizes, given)
    mixture = _mixture(sizes, given, of_batch)
    return MixedBatches(list(opened.values()), mixture, form, of_batch)


def _checked(sources: Any, given: _Arguments) -> dict[str, Any]:
    """Returns the sources as a dict; raises `ValueError` for arguments that do not fit."""
    if not isinstance(sources, Mapping) or not sources:
        raise ValueError(f"mix: expected data sets by name, as in {{'a': dataset}}; received {sources!r}.")
    for name in sources:
        if not isinstance(name, str) or not name:
            raise ValueError(f"mix: a source's name must be a text; received {name!r}.")
    if not isinstance(given.schedule, Schedule):
        raise ValueError(
            "mix: schedule must be a schedule such as mtlkeras.data.Proportional(); "
            f"received {given.schedule!r}."
        )
    given.schedule.check_names(sources)
    if isinstance(given.stop, str):
        if given.stop not in ("all", "first"):
            raise ValueError(
                f"mix: stop must be 'all', 'first' or a number of batches; received {given.stop!r}."
            )
    else:
        whole_number("mix", "stop", given.stop)
    if given.within not in ("epoch", "batch"):
        raise unknown_name("value", given.within, ("epoch", "batch"), "within= of mix")
    if given.within == "batch" and given.schedule.in_turn:
        raise ValueError(
            f"mix: {given.schedule!r} takes whole batches in turn; within='batch' needs shares, such as "
            "Weighted with equal weights."
        )
    if given.batch_size is not None:
        whole_number("mix", "batch_size", given.batch_size)
    whole_number("mix", "seed", given.seed, 0)
    if given.source_input is not None and not (isinstance(given.source_input, str) and given.source_input):
        raise ValueError(f"mix: source_input must be a name for an input; received {given.source_input!r}.")
    return dict(sources)


def _size_of_batches(sources: Mapping[str, Source], given: _Arguments) -> int | None:
    """Returns the number of examples in a batch of several sources; `None` for batches of one each."""
    if given.within == "epoch":
        return None
    sizes = {source.batch_size for source in sources.values()}
    if given.batch_size is None and len(sizes) > 1:
        listed = ", ".join(f"'{name}' {source.batch_size}" for name, source in sources.items())
        raise ValueError(
            f"mix: within='batch' needs batch_size=, as the batches of the sources differ: {listed}."
        )
    return given.batch_size or sizes.pop()


def _mixture(sources: Mapping[str, Source], given: _Arguments, batch_size: int | None) -> Mixture:
    for name, source in sources.items():
        if source.examples is None and isinstance(given.stop, str):
            raise ValueError(
                f"mix: source '{name}' has no end, so stop={given.stop!r} never comes: give stop= a number "
                "of batches, or leave out its repeat(), as a mix repeats by itself."
            )
    mixture = Mixture(sources, given.schedule, given.stop, batch_size, given.shuffle, given.seed)
    if not given.shuffle:
        for name, count in mixture.examples().items():
            most = sources[name].examples
            if most is not None and count > most:
                raise ValueError(
                    f"mix: shuffle=False reads no source twice, and {given.schedule!r} with "
                    f"stop={given.stop!r} takes {count} examples of the {most} of '{name}'. "
                    "Proportional() takes each once."
                )
    return mixture


def _drawn_seed(seed: int, number: int) -> int:
    """Returns a seed of its own for each source."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
