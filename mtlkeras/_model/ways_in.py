"""The ways in which labels come to a model: each batch passes one check, whatever brings it.

What is in memory is checked by NumPy before it goes anywhere; a `tf.data.Dataset` by operations of
its own pipeline, beside the training and not within its step.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._missing import MISSING
from mtlkeras._model import checks
from mtlkeras._model.label_arrays import label_array, weight_array, weights_by_task
from mtlkeras.heads._dense import DenseHead
from mtlkeras.heads.base import Head


def check_arrays(y: Any, sample_weight: Any, heads: Mapping[str, Head]) -> tuple[dict[str, Any], Any]:
    """Returns labels and sample weights that are in memory, checked, for the tasks that have labels.

    Args:
        y: Labels by task; `None` for a task stands for no labels.
        sample_weight: Weights by task, one array for all, or `None`.
        heads: The model's heads by task.

    Raises:
        ValueError: If something names an unknown task or does not fit.
    """
    given = {task: value for task, value in checks.by_task(y, heads, "labels").items() if value is not None}
    labels = {task: label_array(task, heads[task], value) for task, value in given.items()}
    rows = {task: len(value) for task, value in labels.items()}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"'{task}' {count}" for task, count in rows.items())
        raise ValueError(f"labels: the tasks have labels for different numbers of examples: {counts}.")
    if sample_weight is None:
        return labels, None
    if isinstance(sample_weight, Mapping):
        checks.by_task(sample_weight, heads, "sample_weight")
    weights = {}
    for task, weight in weights_by_task(sample_weight, labels).items():
        found = np.ones(len(labels[task]), "float32") if weight is None else weight
        weights[task] = weight_array(task, heads[task], found, labels[task])
    return labels, weights


Seen = Callable[[Mapping[str, Any], Any], None]


def check_source(x: Any, heads: Mapping[str, Head], seen: Seen) -> Any:
    """Returns a source of batches that checks each of them.

    Args:
        x: A `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator; anything else is passed on.
        heads: The model's heads by task.
        seen: Is told the labels and weights of a first batch, or what stands for them, before any is used.

    Raises:
        ValueError: If the labels that a data set states do not fit.
    """
    if hasattr(x, "element_spec") and hasattr(x, "map"):
        from mtlkeras._model.dataset_checks import check_dataset  # Which needs TensorFlow.

        checked = check_dataset(x, heads)
        spec = checked.element_spec
        if isinstance(spec, tuple) and len(spec) > 1:
            seen(spec[1], spec[2] if len(spec) == 3 else None)
        return checked
    if isinstance(x, keras.utils.PyDataset):
        return CheckedDataset(x, heads, seen)
    if isinstance(x, types.GeneratorType):
        return _checked_batches(x, heads, seen)
    return x


class WrappedDataset(keras.utils.PyDataset):
    """A `keras.utils.PyDataset` whose batches are made of those of another; the base of such.

    Args:
        inner: The other one.
        **kwargs: As for every `PyDataset`.
    """

    def __init__(self, inner: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._inner = inner

    @property
    def num_batches(self) -> int | None:
        return self._inner.num_batches

    def on_epoch_begin(self) -> None:
        self._inner.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._inner.on_epoch_end()


class CheckedDataset(WrappedDataset):
    """A `keras.utils.PyDataset` whose batches are checked.

    Args:
        inner: The data set.
        heads: The model's heads by task.
        seen: Is told the first batch's labels and weights.
    """

    def __init__(self, inner: Any, heads: Mapping[str, Head], seen: Seen | None = None) -> None:
        kept = ("workers", "use_multiprocessing", "max_queue_size")
        super().__init__(inner, **{name: getattr(inner, name) for name in kept})
        self._heads, self._seen = dict(heads), seen

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": None}  # Processes that read batches have no model to tell.

    def __getitem__(self, index: int) -> Any:
        batch = check_batch(self._inner[index], self._heads)
        _tell(batch, self._seen)
        self._seen = None
        return batch


def _checked_batches(batches: Iterator[Any], heads: Mapping[str, Head], seen: Seen) -> Iterator[Any]:
    for number, batch in enumerate(batches):
        checked = check_batch(batch, heads)
        _tell(checked, None if number else seen)
        yield checked


def _tell(batch: Any, seen: Seen | None) -> None:
    if seen is not None and isinstance(batch, tuple) and len(batch) > 1:
        seen(batch[1], batch[2] if len(batch) == 3 else None)


def check_batch(batch: Any, heads: Mapping[str, Head]) -> Any:
    """Returns a batch `(x, y)` or `(x, y, sample_weight)` checked, with labels for every task.

    All batches of a pipeline must have one structure, so a task without labels gets missing ones.
    """
    if isinstance(batch, list):
        batch = tuple(batch)
    if not isinstance(batch, tuple) or len(batch) not in (2, 3) or batch[1] is None:
        return batch
    x, y, *more = batch
    labels, weights = check_arrays(y, more[0] if more else None, heads)
    rows = len(keras.tree.flatten(x)[0])
    labels = {
        task: labels[task] if task in labels else _no_labels(head, rows, x) for task, head in heads.items()
    }
    if not more:
        return x, labels
    if weights is not None:
        weights = {task: weights.get(task, np.ones(rows, "float32")) for task in heads}
    return x, labels, weights


def _no_labels(head: Head, rows: int, x: Any) -> np.ndarray:
    shape: tuple[int, ...] = (rows,)
    if isinstance(head, DenseHead):
        shape = rows, *head.label_shape([np.shape(a) for a in keras.tree.flatten(x)])
    elif head.label_form.by_entry:
        shape = rows, head.label_form.count  # type: ignore[attr-defined]
    elif head.kind == "sequence":
        shape = rows, next((a.shape[1] for a in keras.tree.flatten(x) if len(np.shape(a)) > 1), 1)
    numbers = head.label_form.are_numbers
    return np.full(shape, np.nan, "float32") if numbers else np.full(shape, MISSING, "int32")
