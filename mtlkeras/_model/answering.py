"""What a person wants for each input, from a model's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._model.label_arrays import label_array
from mtlkeras._model.outputs import dependence_layer
from mtlkeras.dependence.base import DEPENDENCE
from mtlkeras.layers.output import TaskOutput


def predicted(predict: Callable[..., Any], x: Any, *args: Any, **kwargs: Any) -> Any:
    """Returns what a model's `predict` gives, also for arrays of no rows.

    Raises:
        ValueError: If a data set or generator has no batch.
    """
    arrays = keras.tree.flatten(x)
    if arrays and all(isinstance(a, np.ndarray) and not len(a) for a in arrays):
        one = keras.tree.map_structure(_one_row, x)
        return keras.tree.map_structure(lambda value: value[:0], predict(one, *args, **kwargs))
    try:
        return predict(x, *args, **kwargs)
    except UnboundLocalError as error:  # Keras' own for it; an error of the caller's stays in sight.
        raise ValueError("predict: the data set has no batch.") from error


def _one_row(array: np.ndarray) -> np.ndarray:
    """Returns one row of zeros in place of none."""
    return np.zeros((1, *(n or 1 for n in array.shape[1:])), array.dtype)


def labels_of(layer: TaskOutput, outputs: Any) -> np.ndarray:
    """Returns the labels a person wants for a task's outputs of `predict`."""
    rows = layer.head.one_length(outputs)
    # Nothing is the largest of no rows: decode one, and leave it out.
    some = rows if len(rows) else np.zeros((1, *rows.shape[1:]), rows.dtype)
    return layer.head.labels(some, layer)[: len(rows)]


def dependent_outputs(
    model: Any, x: Any, joint: bool, known: Mapping[str, Any] | None, **kwargs: Any
) -> dict[str, np.ndarray]:
    """Returns the outputs of all tasks, those of dependent ones given what is known.

    Args:
        model: The model.
        x: Inputs, as for `predict`, checked.
        joint: Whether to give the most probable answers together, as rows of zeros and ones.
        known: Labels by task, with missing ones where nothing is known; `None` for none.
        **kwargs: As for `predict`.

    Raises:
        ValueError: If the tasks do not depend on each other, or a label names an unknown task, does not fit
            its head or the number of inputs.
    """
    layer = dependence_layer(model)
    if layer is None:
        raise ValueError(
            "predict_labels: joint= and known= are for tasks that depend on each other; this model was built "
            "without dependence=."
        )
    for task in known or {}:
        if task not in layer.tasks:
            raise unknown_name("task", task, layer.tasks, "known=")
    outputs, behind = predicted(model.scored.predict, x, **kwargs)
    rows = len(behind[DEPENDENCE][layer.tasks[0]])
    if not rows:
        return outputs
    scores = {task: ops.convert_to_tensor(values) for task, values in behind[DEPENDENCE].items()}
    labels = {task: _evidence(model, task, values, rows) for task, values in (known or {}).items()}
    found = (joint_outputs if joint else outputs_given)(model, layer, scores, labels)
    return {**outputs, **{task: ops.convert_to_numpy(values) for task, values in found.items()}}


def outputs_given(model: Any, layer: Any, scores: Any, labels: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the outputs of tasks that depend on each other, given labels and the masks of those known."""
    given = layer.given(scores, labels)
    return {task: model.output_layers[task](given[task]) for task in layer.tasks}


def joint_outputs(model: Any, layer: Any, scores: Any, labels: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the most probable answers together as outputs, with arguments as `outputs_given`."""
    return {task: _as_outputs(mode, scores[task]) for task, mode in layer.mode(scores, labels).items()}


def _as_outputs(answers: Any, scores: Any) -> Any:
    """Returns answers as outputs that are sure of them: one-hot rows of classes, or 0/1 rows of labels."""
    return ops.one_hot(answers, scores.shape[-1]) if len(answers.shape) == 1 else ops.cast(answers, "float32")


def _evidence(model: Any, task: str, values: Any, rows: int) -> tuple[Any, Any]:
    """Returns labels that are known, and the mask of those that are."""
    head = model.heads[task]
    y = label_array(task, head, values)
    if len(y) != rows:
        raise ValueError(f"known= of task '{task}': expected {rows} labels, one an input; received {len(y)}.")
    y = keras.ops.convert_to_tensor(y)
    mask = head.labelled(y)
    return head.targets(y, mask), mask
