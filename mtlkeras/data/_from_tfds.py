"""Loading from TFDS: read once into memory, or as a stream that is not held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mtlkeras.data._columns import Column, distinct, from_array
from mtlkeras.data._from_rows import load_rows
from mtlkeras.data._inputs import Inputs, input_specs
from mtlkeras.data._label_encoding import encode, find_kind
from mtlkeras.data._options import Options
from mtlkeras.data._rows import Rows
from mtlkeras.data._store import kept
from mtlkeras.data._tfds import Features, default_features
from mtlkeras.data.doubts import guess_of, label_doubts, split_doubts
from mtlkeras.data.finite import check_finite
from mtlkeras.data.labels import Label
from mtlkeras.data.order import EpochOrder, shuffled_stream
from mtlkeras.data.pipeline import parallel, prefetched
from mtlkeras.data.report import LoadReport, TaskReport, task_report, with_report

_COUNTED = 200_000
"""Largest number of examples whose labels are read beforehand to be counted."""

_BUFFER_BYTES = 2**28
"""Memory for shuffling a stream."""


def load_tfds(builder: Any, labels: Mapping[str, Label], inputs: Any, options: Options) -> Any:
    """Makes the data set of a TFDS builder; see `mtlkeras.data.load`."""
    for name in ("fractions", "group_column", "vocabularies", "fill"):
        if getattr(options, name) is not None:
            raise ValueError(f"{name}= does not go with TFDS. Its splits can be cut: split='train[:90%]'.")
    features_in_data = list(builder.info.features)
    specs = input_specs(inputs, default_features(builder), f"TFDS '{builder.info.name}'", features_in_data)
    label_names = [name for label in labels.values() for name in label.columns]
    names = list(dict.fromkeys([*specs.names, *label_names]))
    features = Features(builder, names, options)
    if not options.cache:
        return _load_stream(features, labels, specs, options)
    rows = _rows_of(features, names, options)
    settled = {
        task: _settled(task, label, features, features.read(names).element_spec)
        for task, label in labels.items()
    }
    # Pictures were brought to their size while they were read.
    options = replace(options, image_size=None, channels=None)
    return load_rows(rows, settled, specs, options, np.arange(len(rows)), labels)


def _rows_of(features: Features, names: Sequence[str], options: Options) -> Rows:
    """Reads features of all examples of a split into memory, or from the cache."""
    identity = ("tfds", features.builder.info.full_name, features.split, sorted(names), options.image_size)
    arrays = kept(
        options.cache,
        (*identity, options.channels),
        lambda: {name: _plain(column) for name, column in features.columns(names).items()},
    )
    length = len(next(iter(arrays.values())))
    return Rows(_name(features), features.as_columns(arrays), np.arange(1, length + 1), as_is=True)


def _plain(column: Column) -> np.ndarray:
    return column.values.astype(str) if column.values.dtype == object else column.values


def _name(features: Features) -> str:
    return f"TFDS {features.builder.info.full_name}"


def _load_stream(features: Features, labels: Mapping[str, Label], inputs: Inputs, options: Options) -> Any:
    """Makes the data set of a TFDS split without holding it in memory."""
    label_names = list(dict.fromkeys(name for label in labels.values() for name in label.columns))
    stream = features.read(list(dict.fromkeys([*inputs.names, *label_names])), shuffled=options.shuffled)
    examples = int(stream.cardinality()) if int(stream.cardinality()) >= 0 else None
    given = labels
    labels = {task: _settled(task, label, features, stream.element_spec) for task, label in labels.items()}
    tasks, doubts = _reports(labels, given, features, label_names, examples)
    if options.shuffled:
        stream = shuffled_stream(stream, _buffer(stream.element_spec, examples), EpochOrder(options.seed))
    batches = stream.batch(options.batch_size, drop_remainder=options.drop_remainder)
    encoders = {task: _encoder(task, label, features, stream.element_spec) for task, label in labels.items()}

    def arrange(batch: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        x = {name: _input(batch, columns) for name, columns in inputs.columns.items()}
        return inputs.packed(x), {task: encoder(batch) for task, encoder in encoders.items()}

    dataset = batches.map(arrange, num_parallel_calls=parallel(options))
    if options.check_finite:
        dataset = check_finite(dataset)
    shapes = {name: _shape(stream.element_spec, columns) for name, columns in inputs.columns.items()}
    report = LoadReport(_name(features), options.split, examples, shapes, tasks, warnings=doubts)
    return with_report(prefetched(dataset, options), report)


def _settled(task: str, label: Label, features: Features, spec: Mapping[str, Any]) -> Label:
    """Fixes a label's kind and, for words, its classes, which must not depend on the split."""
    sample = [_sample(spec[name], features.names[name]) for name in label.columns]
    label = label.replace(kind=find_kind(label, sample))
    if label.kind == "multi" and label.classes is None and len(label.columns) == 1 and sample[0].is_words:
        raise ValueError(
            f"Task '{task}': a multi-label in one feature of words needs Label(..., classes=[...])."
        )
    if label.kind == "class" and label.classes is None and sample[0].is_words:
        columns = features.columns(label.columns, split="all", what=f"Looking for the classes of '{task}'")
        label = label.replace(classes=distinct(columns[label.columns[0]].marked(label.missing)))
    return label


def _sample(spec: Any, names: tuple[str, ...] | None) -> Column:
    shape = (1, *spec.shape.as_list())
    return from_array(
        np.full(shape, "?") if spec.dtype.name == "string" else np.zeros(shape, spec.dtype.name), names
    )


def _reports(
    labels: Mapping[str, Label],
    given: Mapping[str, Label],
    features: Features,
    names: Sequence[str],
    examples: int | None,
) -> tuple[dict[str, TaskReport], tuple[str, ...]]:
    """Returns reports by task, and what may be meant otherwise."""
    if examples is None or examples > _COUNTED:
        return {
            task: TaskReport(str(label.kind), _class_names(label, features)) for task, label in labels.items()
        }, ()
    by_name = features.columns(names, what="Counting labels")
    reports, doubts = {}, []
    for task, label in labels.items():
        columns = [by_name[name] for name in label.columns]
        encoded = encode(task, label, columns, _where(features))
        reports[task] = task_report(encoded, guess_of(given[task], columns))
        doubts += label_doubts(task, given[task], columns, encoded, _name(features))
        doubts += split_doubts(task, encoded, None, np.arange(len(encoded.values)), features.options.split)
    return reports, tuple(doubts)


def _class_names(label: Label, features: Features) -> tuple[str, ...]:
    if label.kind not in ("class", "multi"):
        return ()
    if label.classes is not None:
        return tuple(map(str, label.classes))
    return label.columns if label.kind == "multi" else features.names[label.columns[0]] or ()


def _where(features: Features) -> Callable[[int], str]:
    return lambda row: f"an example of {_name(features)}"


def _encoder(
    task: str, label: Label, features: Features, spec: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], Any]:
    """Returns what turns a batch of features into the labels of a task."""
    import tensorflow as tf

    if label.kind == "mask":
        raise ValueError(
            f"Task '{task}': masks are read from arrays and from files beside pictures; of TFDS take "
            "kind='array'."
        )
    is_float = label.kind == "number" or (label.kind == "array" and spec[label.columns[0]].dtype.is_floating)
    dtype = tf.float32 if is_float else tf.int32
    plain = label.classes is None and not label.missing and len(label.columns) == 1 and label.kind != "multi"
    if plain and spec[label.columns[0]].dtype != tf.string:
        return lambda batch: tf.cast(batch[label.columns[0]], dtype)

    def encoded(*arrays: np.ndarray) -> np.ndarray:
        columns = [from_array(a, features.names[n]) for a, n in zip(arrays, label.columns, strict=True)]
        return encode(task, label, columns, _where(features)).entries

    shape = _label_shape(label, spec)

    def encoder(batch: Mapping[str, Any]) -> Any:
        values = tf.numpy_function(encoded, [batch[name] for name in label.columns], dtype)
        return tf.ensure_shape(values, (None, *shape))

    return encoder


def _label_shape(label: Label, spec: Mapping[str, Any]) -> tuple[int, ...]:
    if label.kind == "multi" and label.classes is not None and spec[label.columns[0]].shape.rank == 0:
        return (len(label.classes),)
    if len(label.columns) > 1:
        return (len(label.columns),)
    return tuple(spec[label.columns[0]].shape.as_list())


def _input(batch: Mapping[str, Any], columns: Any) -> Any:
    import tensorflow as tf

    if not isinstance(columns, str):
        return tf.concat([tf.cast(_input(batch, name), tf.float32) for name in columns], 1)
    value = batch[columns]
    narrow = {"float64": tf.float32, "int64": tf.int32, "bool": tf.float32}
    value = tf.cast(value, narrow.get(value.dtype.name, value.dtype))
    # A number a row is a vector of one, as keras.Input((1,)) expects.
    return value[:, None] if value.shape.rank == 1 and value.dtype != tf.string else value


def _shape(spec: Mapping[str, Any], columns: Any) -> tuple[tuple[int | None, ...], str]:
    if not isinstance(columns, str):
        return (len(columns),), "float32"
    one = spec[columns]
    return tuple(one.shape.as_list()), one.dtype.name


def _buffer(spec: Mapping[str, Any], examples: int | None) -> int:
    size = sum(int(np.prod(s.shape.as_list())) * max(s.dtype.size, 1) for s in spec.values())
    return max(1, min(_BUFFER_BYTES // max(size, 1), 100_000, examples or 100_000))
