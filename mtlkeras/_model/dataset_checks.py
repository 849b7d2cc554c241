"""The check of labels in a `tf.data.Dataset` by operations of its own pipeline; needs TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from mtlkeras._errors import framed
from mtlkeras._missing import MISSING
from mtlkeras._model import checks
from mtlkeras._model.label_arrays import arranged_weights, weights_by_task
from mtlkeras.heads.base import Head


def check_dataset(dataset: Any, heads: Mapping[str, Head]) -> Any:
    """Returns a `tf.data.Dataset` that checks each batch as it is read."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) < 2:
        return dataset
    named = checks.by_task(spec[1], heads, "labels")
    if len(spec) == 3 and isinstance(spec[2], Mapping):
        checks.by_task(spec[2], heads, "sample_weight")

    @tf.autograph.experimental.do_not_convert  # It has nothing to convert, which takes its time.
    def checked(*batch: Any) -> Any:
        given = {task: dense(value) for task, value in checks.by_task(batch[1], heads, "labels").items()}
        pairs = {task: _checked_labels(task, heads[task], value) for task, value in given.items()}
        labels = {task: value for task, (value, _) in pairs.items()}
        failures = [failure for _, failure in pairs.values()]
        if len(batch) == 3:
            failures += _weight_checks(batch[2], labels, heads)
        with tf.control_dependencies(failures):
            return batch[0], {task: _kept(heads[task], y) for task, y in labels.items()}, *batch[2:]

    def dense(value: Any) -> Any:
        if not isinstance(value, tf.RaggedTensor):
            return value
        # A type that has room for the marker.
        return (
            value.to_tensor(np.nan)
            if value.dtype.is_floating
            else tf.cast(value, tf.int64).to_tensor(MISSING)
        )

    for task, part in named.items():
        _check_spec(task, heads[task], part)
    return dataset.map(checked, num_parallel_calls=tf.data.AUTOTUNE)


def _check_spec(task: str, head: Head, spec: Any) -> None:
    if isinstance(spec, tf.SparseTensorSpec):
        raise ValueError(f"Labels of task '{task}': expected a dense tensor; received a sparse one.")
    if spec.dtype == tf.string:
        names = f" Its class names are {', '.join(map(str, head.names))}." if head.names else ""
        raise ValueError(f"Labels of task '{task}': expected numbers, received text.{names}")
    if spec.dtype.is_complex:
        raise ValueError(f"Labels of task '{task}': expected numbers, received the type {spec.dtype.name}.")


def _checked_labels(task: str, head: Head, y: Any) -> tuple[Any, Any]:
    """Returns labels in the shape of a head, and the operation that fails if one cannot be."""
    form = head.label_form
    try:
        y = form.arranged(y)
    except ValueError as error:
        raise ValueError(f"Labels of task '{task}': {error}") from None
    kept, whole = form.kept_as(y), not y.dtype.is_floating
    y = _with_room(y, kept == "int32")
    wrong = form.wrong(y, SimpleNamespace(sum=tf.reduce_sum, any=tf.reduce_any))
    text = framed(f"Labels of task '{task}': a label is outside {form.expected}.")
    # Without the branch of `tf.debugging.Assert`, which costs more than the check.
    check = tf.raw_ops.Assert(condition=~tf.reduce_any(wrong), data=[text])
    if kept == "int32" and y.dtype.is_floating:
        y = tf.where(tf.math.is_nan(y), tf.cast(MISSING, y.dtype), y)
    elif form.are_numbers and whole:
        y = tf.where(y == MISSING, tf.cast(np.nan, y.dtype), y)
    return y, check


def _kept(head: Head, y: Any) -> Any:
    """Returns checked labels in the type of a head, as an operation that waits for what comes before."""
    kept = head.label_form.kept_as(y)
    return tf.identity(y) if y.dtype == kept else tf.cast(y, kept)


def _with_room(y: Any, as_classes: bool) -> Any:
    """Returns labels of a pipeline in a type that holds every marker and is no slower than it must be.

    Each operation on a small batch costs the same, so that whole numbers that are classes stay such where
    they can. Those of an unsigned type are no markers, whatever their bits.
    """
    if y.dtype.is_floating:
        return y if y.dtype in (tf.float32, tf.float64) else tf.cast(y, tf.float32)
    if not as_classes or y.dtype in (tf.uint32, tf.uint64):
        return tf.cast(y, tf.float64)
    return y if y.dtype in (tf.int32, tf.int64) else tf.cast(y, tf.int32)


def _weight_checks(weights: Any, labels: Mapping[str, Any], heads: Mapping[str, Head]) -> list[Any]:
    """Returns the operations that fail for weights that are negative or no finite numbers."""
    found = []
    for task, weight in weights_by_task(weights, labels).items():
        if weight is None:
            continue
        arranged_weights(task, heads[task], weight, labels[task].shape)
        text = framed(f"sample_weight of task '{task}': weights must be finite and not negative.")
        exact = tf.cast(weight, tf.float64)
        good = tf.reduce_all(tf.math.is_finite(exact) & (exact >= 0))
        found.append(tf.raw_ops.Assert(condition=good, data=[text]))
    return found
