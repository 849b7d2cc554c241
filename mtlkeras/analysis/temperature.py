"""Temperature scaling, kept in the weights of a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import call_behind, ordered_nodes
from mtlkeras._model.answering import predicted
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.pixel_inputs import model_inputs
from mtlkeras._model.ways_in import check_arrays
from mtlkeras._types import Data, Labels
from mtlkeras.layers.output import TaskOutput

_NAME = "scale_temperature"
# Decimal logarithms of the least and the largest temperature.
_RANGE = (-2.0, 3.0)
_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def scale_temperature(
    model: MultiTaskModel, x: Data, y: Labels, tasks: Sequence[str] | None = None, batch_size: int = 32
) -> dict[str, float]:
    """Divides the scores of classification tasks by the temperatures that make a model as sure as right.

    The temperature T of a task is the one of the least mean negative log-likelihood of its labels; give
    examples that the model was not trained on. It goes into the head's last layer, whose kernel and bias are
    divided by T: scores z become z / T, so outputs, saved and exported models, and a second call (which finds
    1) all know of it, and no answer changes but those of `MultiLabel` at a threshold other than 0.5. Other
    tasks stay as they are. Further training changes it again.

    For heads whose outputs are made of one dense layer: `Classification` and `MultiLabel`, and heads of your
    own that give `class_log_probabilities`.

    Args:
        model: The model; its weights change.
        x: The examples, as for `predict`.
        y: Their labels by task, as for `fit`; missing ones are left out.
        tasks: Which tasks; by default all with labels that can be scaled.
        batch_size: As for `predict`.

    Returns:
        The temperature of each task: above 1 where the model was too sure.

    Raises:
        ValueError: If a task is unknown, has no label, or cannot be scaled, as others read its scores or it
            has no single dense layer; or if there is no best temperature, as every answer is right.

    Example:

    ```python
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"kind": mtlkeras.heads.Classification(2)})
    x, y = np.random.default_rng(0).normal(size=(40, 4)), {"kind": np.arange(40) % 2}
    temperature = mtlkeras.analysis.scale_temperature(model, x, y)
    temperature["kind"]
    ```

    Reference: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
    """
    labels, _ = check_arrays(y, None, model.heads)
    reasons = {task: _reason(model, task) for task in model.heads}
    for task in tasks or ():
        if task not in reasons:
            raise unknown_name("task", task, reasons, f"tasks= of {_NAME}")
        if task not in labels or reasons[task]:
            raise ValueError(f"{_NAME}: task '{task}' {reasons[task] or 'has no labels'}.")
    chosen = [task for task in labels if not reasons[task]] if tasks is None else list(dict.fromkeys(tasks))
    if not chosen:
        raise ValueError(f"{_NAME}: no task with labels can be scaled: {_listed(reasons, labels)}.")
    _, behind = predicted(model.scored.predict, model_inputs(model, x), batch_size=batch_size, verbose=0)
    found = {task: _best(task, model.heads[task], behind[task], labels[task]) for task in chosen}
    for task, temperature in found.items():
        layer = model.get_layer(f"{task}_logits")
        layer.set_weights([weights / temperature for weights in layer.get_weights()])
    return found


def _listed(reasons: dict[str, str], labels: Any) -> str:
    return "; ".join(f"'{task}' {reasons[task]}" for task in labels) or "there are no labels"


def _reason(model: Any, task: str) -> str:
    """Returns why a task cannot be scaled, as the end of a sentence; empty if it can be."""
    layer = model.output_layers[task]
    if not layer.head.answer_classes or type(layer) is not TaskOutput:
        return f"has the head {type(layer.head).__name__}, whose scores have no temperature"
    nodes = ordered_nodes(model)
    (scores,) = next(node.input_tensors for node in nodes if node.operation is layer)
    dense = call_behind(scores).operation
    plain = isinstance(dense, keras.layers.Dense) and dense.name == f"{task}_logits"
    if (
        not plain
        or dense.activation is not keras.activations.linear
        or len(dense.weights) > 2
        or dense.quantization_mode
    ):
        return "has no single dense layer of plain weights before its output"
    if sum(any(x is scores for x in node.input_tensors) for node in nodes) > 1:
        return "has scores that other tasks read, which would change with them"
    return ""


def _best(task: str, head: Any, scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature of the least negative log-likelihood, which is convex in its reciprocal.

    Raises:
        ValueError: If no example has a label, or there is none.
    """
    if len(scores) != len(labels):
        raise ValueError(f"{_NAME}: task '{task}' has {len(labels)} labels for {len(scores)} examples.")
    y = keras.ops.convert_to_tensor(labels)
    mask = keras.ops.convert_to_numpy(head.labelled(y))
    if not mask.any():
        raise ValueError(f"{_NAME}: task '{task}' has no label.")
    targets = keras.ops.convert_to_numpy(head.targets(y, keras.ops.convert_to_tensor(mask)))

    def loss(exponent: float) -> float:
        scaled = keras.ops.convert_to_tensor(scores * np.float32(10.0**-exponent))
        told = keras.ops.convert_to_numpy(head.class_log_probabilities(scaled)).astype("float64")
        return -float(np.mean(_of_labels(told, targets)[mask]))

    exponent = _least(loss, *_RANGE)
    if min(abs(exponent - end) for end in _RANGE) < 1e-3:
        raise ValueError(
            f"{_NAME}: the labels of task '{task}' have no best temperature from {10.0 ** _RANGE[0]:g} to "
            f"{10.0 ** _RANGE[1]:g}: its answers are all right, or no better than chance. Give more examples."
        )
    return float(10.0**exponent)


def _of_labels(told: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns the log-probability of each label, in the shape of its mask."""
    if told.ndim == targets.ndim:  # Rows of probabilities.
        return np.sum(told * targets, axis=-1)
    return np.take_along_axis(told, targets.astype("int64")[..., None], axis=-1)[..., 0]


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """Returns where a function with one minimum is least, by golden sections (Kiefer 1953)."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    while high - low > 1e-5:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = function(b)
    return (low + high) / 2.0
