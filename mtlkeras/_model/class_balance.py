"""Weights of classes taken from the labels that a model trains on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras.heads._class_weights import can_balance, count_classes, is_balanced, weights_of_counts

_REMEDY = "Call model.adapt(labels) before, or give the numbers of mtlkeras.data.balanced_class_weights."


class ClassBalance:
    """Counts the labels of some tasks, batch by batch, and gives balanced weights.

    Args:
        heads: The heads by task, of the tasks to count.
    """

    def __init__(self, heads: Mapping[str, Any]) -> None:
        self._heads = dict(heads)
        self._counts: dict[str, Any] = {}

    def add(self, labels: Any, sample_weight: Any = None) -> None:
        """Adds labels by task; tasks that are not there add nothing."""
        for task, head in self._heads.items():
            y = _of_task(labels, task)
            if y is None:
                continue
            weight = _of_task(sample_weight, task)
            try:
                counts = count_classes(head, np.asarray(y), weight)
            except ValueError as error:
                raise ValueError(f"Labels of task '{task}': {error}") from None
            self._counts[task] = self._counts.get(task, 0) + counts

    def weights(self) -> dict[str, np.ndarray]:
        """Returns the weights of the tasks that had any label, and warns of classes that had none."""
        counted = {task: counts for task, counts in self._counts.items() if counts.sum() > 0}
        for task, counts in counted.items():
            _warn_of_empty(task, self._heads[task], counts)
        return {task: weights_of_counts(counts) for task, counts in counted.items()}


def set_class_weights(model: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Keeps balanced weights in the output layers of the tasks whose heads ask for them."""
    for task, layer in model.output_layers.items():
        if layer.head.balanced and task in weights:
            layer.class_weights.assign(weights[task])


def balance_classes(
    model: Any, x: Any, y: Any, sample_weight: Any, class_weight: Any, validation_split: float = 0.0
) -> Any:
    """Takes the weights that are called `"balanced"` from the training labels.

    Those of a head go into its output layer, where evaluation, saving and loading find them; those of
    `class_weight` into what is returned. Labels come from `y`, without the part that
    `validation_split` sets aside; or from one pass over a `tf.data.Dataset` or `PyDataset`.

    Args:
        model: The `MultiTaskModel`.
        x: Inputs, or the data set.
        y: Labels by task, or `None`.
        sample_weight: Weights by task; at 0 a label counts as missing.
        class_weight: The argument of `fit`.
        validation_split: The argument of `fit`.

    Returns:
        `class_weight` with numbers by class index in place of `"balanced"`.

    Raises:
        ValueError: If a head has no classes to balance, or a pass over the data is not possible.
    """
    heads = model.heads
    asked = _asked(class_weight, heads)
    own = {task: head for task, head in heads.items() if head.balanced}
    if not asked and not own:
        return class_weight
    balance = ClassBalance({**own, **{task: heads[task] for task in asked}})
    if y is not None:
        balance.add(*(_training_part(part, validation_split) for part in (y, sample_weight)))
    else:
        batches = _batches(x)
        if batches is None:
            _check_known(model, own, asked)
            return class_weight
        for batch in batches:
            balance.add(*batch[1:3])
    weights = balance.weights()
    set_class_weights(model, weights)
    if not asked:
        return class_weight
    given = dict.fromkeys(asked, None) if isinstance(class_weight, str) else dict(class_weight)
    numbers = {task: dict(enumerate(weights[task].tolist())) if task in weights else None for task in asked}
    return {**given, **numbers}


def _asked(class_weight: Any, heads: Mapping[str, Any]) -> list[str]:
    """Returns the tasks whose class weights `fit` is to balance."""
    if isinstance(class_weight, str) and len(heads) == 1:
        class_weight = dict.fromkeys(heads, class_weight)
    if not isinstance(class_weight, Mapping):
        return []
    asked = [
        task for task, value in class_weight.items() if is_balanced(value, f"class_weight of task '{task}'")
    ]
    for task in asked:
        if task not in heads:
            raise unknown_name("task", task, heads, "class_weight")
        head, kind = heads[task], type(heads[task]).__name__
        if head.balanced:
            raise ValueError(
                f"class_weight of task '{task}': the head balances its classes itself; 'balanced' would "
                f"weigh them twice."
            )
        if not can_balance(head) or head.label_form.by_entry:
            weighs_yes = hasattr(head, "positive_weight")
            hint = " Give the head positive_weight='balanced'." if weighs_yes else ""
            raise ValueError(
                f"class_weight of task '{task}': {kind} has no classes, so it takes no class_weight.{hint}"
            )
    return asked


def _training_part(values: Any, validation_split: float) -> Any:
    """Returns arrays without the last ones, which Keras sets aside for validation."""
    if isinstance(values, Mapping):
        return {task: _training_part(value, validation_split) for task, value in values.items()}
    if values is None or not validation_split:
        return values
    return values[: int(np.floor(len(values) * (1.0 - validation_split)))]


def _batches(data: Any) -> Iterable[Any] | None:
    """Returns the batches of one pass over a data set; `None` if it has no end, or cannot be passed twice."""
    if hasattr(data, "element_spec") and hasattr(data, "cardinality"):
        return None if int(data.cardinality()) == -1 else data
    if isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        return None if count is None else (data[i] for i in range(count))
    return None


def _check_known(model: Any, own: Mapping[str, Any], asked: list[str]) -> None:
    """Raises `ValueError` if balanced weights are needed that no labels have given yet."""
    unknown = [task for task in own if not np.asarray(model.output_layers[task].class_weights).any()]
    for task in [*asked, *unknown]:
        raise ValueError(
            f"Task '{task}' balances its classes, for which fit needs a pass over the training labels; a "
            f"generator or an endless data set does not allow it. {_REMEDY}"
        )


def _of_task(values: Any, task: str) -> Any:
    if isinstance(values, Mapping):
        return values.get(task)
    return values  # Labels of the only task, or weights for all.


def _warn_of_empty(task: str, head: Any, counts: np.ndarray) -> None:
    """Warns of the classes that balanced labels do not have."""
    empty = np.flatnonzero((counts == 0).any(0) if counts.ndim == 2 else counts == 0)
    if not len(empty):
        return
    names = getattr(head, "label_names" if head.label_form.by_entry else "class_names", None)
    shown = ", ".join(str(i) if names is None else f"'{names[i]}'" for i in empty[:10])
    more = f" and {len(empty) - 10} more" if len(empty) > 10 else ""
    what = (
        "'yes' and 'no' are not both among the training labels of"
        if counts.ndim == 2
        else ("the training labels have none of class")
    )
    warnings.warn(
        f"Task '{task}': {what} {shown}{more}, which cannot be balanced and weighs 1.", stacklevel=4
    )
