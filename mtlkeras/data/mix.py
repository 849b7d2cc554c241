"""`mix`: several data sets that label different tasks, as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras.data._mix.batches import ArraySource, BatchSource, MixedBatches, with_free_times
from mtlkeras.data._mix.forms import merged
from mtlkeras.data._mix.mixture import Mixture, Source
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
            labels of one name differ in shape or type; if a source has the name of a task that it has no
            labels for; if a task has labels where an input of its other sources is lacking; or an argument
            does not fit.

    Example:

    ```python
    colours = mtlkeras.data.load({"x": np.ones((90, 2)), "y": np.arange(90) % 3}, {"colour": "y"}, "x")
    sizes = mtlkeras.data.load({"x": np.ones((10, 2)), "y": np.arange(10.0)}, {"size": "y"}, "x")
    mixed = mtlkeras.data.mix({"a": colours, "b": sizes}, mtlkeras.data.Temperature(2.0), seed=1)
    x, y = next(iter(mixed))  # x (batch, 2), y {"colour": (batch,), "size": (batch,)}
    ```
    """
    schedule = Proportional() if schedule is None else schedule
    sources = _checked(sources, schedule, stop, within, batch_size, seed)
    if all(hasattr(source, "element_spec") for source in sources.values()):
        mixed = _mixed_pipelines(
            sources, schedule, stop, within, batch_size, shuffle, fill, source_input, seed
        )
        return _marked(mixed, sources, within)
    for name, source in sources.items():
        if hasattr(source, "element_spec"):
            raise ValueError(
                f"mix: source '{name}' is a tf.data.Dataset and others are not. mtlkeras.data.load makes "
                "one of arrays."
            )
    mixed = _mixed_arrays(sources, schedule, stop, within, batch_size, shuffle, fill, source_input, seed)
    return _marked(mixed, sources, within)


def _marked(mixed: Any, sources: Mapping[str, Any], within: str) -> Any:
    """Marks a data set in whose batches sources take turns, of which `fit` warns some models."""
    return mark_alternating(mixed, list(sources)) if within == "epoch" else mixed


def _mixed_pipelines(
    sources: Mapping[str, Any],
    schedule: Schedule,
    stop: str | int,
    within: str,
    batch_size: int | None,
    shuffle: bool,
    fill: Mapping[str, Any] | None,
    source_input: str | None,
    seed: int,
) -> Any:
    from mtlkeras.data._mix.streams import measured, mixed_stream, stream
    from mtlkeras.data._mix.tensors import source_form

    forms = {name: source_form(name, dataset) for name, dataset in sources.items()}
    form = merged(forms, fill, source_input)
    found = {name: measured(name, dataset, tuple(forms[name].labels)) for name, dataset in sources.items()}
    sizes = {name: source for name, (source, _) in found.items()}
    of_batch = _size_of_batches(sizes, within, batch_size)
    mixture = _mixture(sizes, schedule, stop, of_batch, shuffle, seed)
    streams = {
        name: stream(dataset, *found[name], forms[name], form, _drawn_seed(seed, number) if shuffle else None)
        for number, (name, dataset) in enumerate(sources.items())
    }
    return mixed_stream(streams, mixture, form, of_batch)


def _mixed_arrays(
    sources: Mapping[str, Any],
    schedule: Schedule,
    stop: str | int,
    within: str,
    batch_size: int | None,
    shuffle: bool,
    fill: Mapping[str, Any] | None,
    source_input: str | None,
    seed: int,
) -> Any:
    opened: dict[str, ArraySource | BatchSource] = {}
    for number, (name, source) in enumerate(sources.items()):
        drawn = (seed, number) if shuffle else None
        opened[name] = (
            BatchSource(name, source, drawn)
            if isinstance(source, keras.utils.PyDataset)
            else ArraySource(name, source, batch_size or _BATCH_SIZE, drawn)
        )
    form = merged(with_free_times({name: one.form for name, one in opened.items()}), fill, source_input)
    sizes = {name: one.source for name, one in opened.items()}
    of_batch = _size_of_batches(sizes, within, batch_size)
    mixture = _mixture(sizes, schedule, stop, of_batch, shuffle, seed)
    return MixedBatches(list(opened.values()), mixture, form, of_batch)


def _checked(
    sources: Any, schedule: Any, stop: Any, within: Any, batch_size: Any, seed: Any
) -> dict[str, Any]:
    """Returns the sources as a dict; raises `ValueError` for arguments that do not fit."""
    if not isinstance(sources, Mapping) or not sources:
        raise ValueError(f"mix: expected data sets by name, as in {{'a': dataset}}; received {sources!r}.")
    for name in sources:
        if not isinstance(name, str) or not name:
            raise ValueError(f"mix: a source's name must be a text; received {name!r}.")
    if not isinstance(schedule, Schedule):
        raise ValueError(
            f"mix: schedule must be a schedule such as mtlkeras.data.Proportional(); received {schedule!r}."
        )
    schedule.check_names(sources)
    if isinstance(stop, str):
        if stop not in ("all", "first"):
            raise ValueError(f"mix: stop must be 'all', 'first' or a number of batches; received {stop!r}.")
    else:
        whole_number("mix", "stop", stop)
    if within not in ("epoch", "batch"):
        raise unknown_name("value", within, ("epoch", "batch"), "within= of mix")
    if within == "batch" and schedule.in_turn:
        raise ValueError(
            f"mix: {schedule!r} takes whole batches in turn; within='batch' needs shares, such as "
            "Weighted with equal weights."
        )
    if batch_size is not None:
        whole_number("mix", "batch_size", batch_size)
    whole_number("mix", "seed", seed, 0)
    return dict(sources)


def _size_of_batches(sources: Mapping[str, Source], within: str, batch_size: int | None) -> int | None:
    """Returns the number of examples in a batch of several sources; `None` for batches of one each."""
    if within == "epoch":
        return None
    sizes = {source.batch_size for source in sources.values()}
    if batch_size is None and len(sizes) > 1:
        listed = ", ".join(f"'{name}' {source.batch_size}" for name, source in sources.items())
        raise ValueError(
            f"mix: within='batch' needs batch_size=, as the batches of the sources differ: {listed}."
        )
    return batch_size or sizes.pop()


def _mixture(
    sources: Mapping[str, Source],
    schedule: Schedule,
    stop: str | int,
    batch_size: int | None,
    shuffle: bool,
    seed: int,
) -> Mixture:
    for name, source in sources.items():
        if source.examples is None and isinstance(stop, str):
            raise ValueError(
                f"mix: source '{name}' has no end, so stop={stop!r} never comes: give stop= a number of "
                "batches, or leave out its repeat(), as a mix repeats by itself."
            )
    mixture = Mixture(sources, schedule, stop, batch_size, shuffle, seed)
    if not shuffle:
        for name, count in mixture.examples().items():
            most = sources[name].examples
            if most is not None and count > most:
                raise ValueError(
                    f"mix: shuffle=False reads no source twice, and {schedule!r} with stop={stop!r} takes "
                    f"{count} examples of the {most} of '{name}'. Proportional() takes each once."
                )
    return mixture


def _drawn_seed(seed: int, number: int) -> int:
    """Returns a seed of its own for each source."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
