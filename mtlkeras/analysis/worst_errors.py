"""The examples that a model does worst on."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras._missing import MISSING
from mtlkeras._model.answering import labels_of
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.objective import TaskObjective
from mtlkeras._model.outputs import Answer
from mtlkeras._model.ways_in import check_arrays
from mtlkeras._types import Inputs, Labels, PathLike
from mtlkeras.analysis._examples import count_of, input_arrays, taken
from mtlkeras.analysis._pictures import COLOURS, Table, finished, name_axes, new_figure

_NAME = "worst_errors"


@dataclasses.dataclass(frozen=True, eq=False)
class WorstErrors:
    """The examples of the largest loss, the worst first; made by `worst_errors`.

    Args:
        task: The task.
        indices: Which examples they are, shape `(examples,)`.
        losses: Their losses.
        labels: Their labels: names of classes where the head has them, tuples of them of tags.
        answers: The model's answers in the same form.
        inputs: Their inputs.
    """

    task: str
    indices: np.ndarray
    losses: np.ndarray
    labels: tuple[Any, ...]
    answers: tuple[Any, ...]
    inputs: Any

    def frame(self) -> Table:
        """Returns the examples as columns by name, the worst first, as `pandas` takes them."""
        return {
            "example": self.indices.tolist(),
            "loss": self.losses.tolist(),
            "label": [*self.labels],
            "answer": [*self.answers],
        }

    def plot(self, path: PathLike | None = None) -> Any:
        """Draws the pictures with label and answer, or else the losses; returns the `matplotlib` figure.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        flat = keras.tree.flatten(self.inputs)
        pictures = next((a for a in flat if a.ndim == 4 and a.shape[-1] in (1, 3)), None)
        captions = [f"{y} as {said}" for y, said in zip(self.labels, self.answers, strict=True)]
        if pictures is not None:
            return finished(_shown(pictures, captions, f"Worst errors of {self.task}: label as answer"), path)
        figure = new_figure(7, 1.2 + 0.3 * len(captions))
        axis = figure.subplots()
        axis.barh(range(len(captions)), self.losses, color=COLOURS[1])
        names = [f"{i}: {text[:60]}" for i, text in zip(self.indices, captions, strict=True)]
        axis.set_yticks(range(len(captions)), names)
        axis.invert_yaxis()
        name_axes(axis, f"Worst errors of {self.task}", "loss", "example: label as answer")
        return finished(figure, path)


def worst_errors(
    model: MultiTaskModel, x: Inputs, y: Labels, task: str, n: int = 10, batch_size: int = 32
) -> WorstErrors:
    """Finds the examples whose loss for a task is the largest: labels that may be wrong, inputs that are odd.

    The loss is the head's own; of an example with several labels, steps or pixels it is their mean.

    Args:
        model: The model.
        x: The examples in memory.
        y: Their labels by task.
        task: The task.
        n: How many examples, or fewer where fewer have a label.
        batch_size: As for `predict`.

    Raises:
        ValueError: If the task is unknown or has no label, examples are a data set, or labels do not fit.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(2, class_names=("cat", "dog"))}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), heads)
    x, y = np.random.default_rng(0).normal(size=(9, 4)), {"kind": np.arange(9) % 2}
    found = mtlkeras.analysis.worst_errors(model, x, y, "kind", n=3)
    found.frame()["label"]
    ```
    """
    if task not in model.heads:
        raise unknown_name("task", task, model.heads, f"task= of {_NAME}")
    labels, _ = check_arrays(y, None, model.heads)
    if task not in labels:
        raise ValueError(f"{_NAME}: there are no labels of task '{task}'.")
    arrays = input_arrays(model, x, _NAME)
    if count_of(arrays) != len(labels[task]):
        raise ValueError(
            f"{_NAME}: task '{task}' has {len(labels[task])} labels for {count_of(arrays)} examples."
        )
    if not count_of(arrays):
        raise ValueError(f"{_NAME}: there are no examples.")
    outputs = model.predict(arrays, batch_size=batch_size, verbose=0)[task]
    return worst_of_outputs(model, arrays, labels[task], outputs, task, n)


def worst_of_outputs(
    model: Any, arrays: Any, labels: np.ndarray, outputs: np.ndarray, task: str, n: int
) -> WorstErrors:
    """Returns the examples of the largest loss, of what `predict` gave for a task.

    Args:
        model: A `MultiTaskModel`.
        arrays: The inputs as arrays.
        labels: The task's labels, checked.
        outputs: Its outputs.
        task: The task.
        n: How many examples.

    Raises:
        ValueError: If no example has a label.
    """
    layer = model.output_layers[task]
    outputs = layer.head.one_length(outputs)
    own = _of_steps(layer.head, labels, outputs)
    losses = _losses(task, layer, own, outputs)
    known = int((~np.isnan(losses)).sum())
    if not known:
        raise ValueError(f"{_NAME}: no example has a label of task '{task}'.")
    order = np.argsort(-losses, kind="stable")[: min(whole_number(_NAME, "n", n), known)]  # NaN is last.
    answers = labels_of(layer, outputs[order])
    return WorstErrors(
        task,
        order,
        losses[order],
        tuple(_named(layer.head, own[i]) for i in order),
        tuple(_plain(answer) for answer in answers),
        taken(arrays, order),
    )


def _of_steps(head: Any, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Returns labels of steps with as many steps as the outputs have."""
    if not head.label_form.by_step or labels.ndim != 2 or outputs.ndim != 3:
        return labels
    missing = np.full((len(labels), max(0, outputs.shape[1] - labels.shape[1])), MISSING, labels.dtype)
    return np.concatenate([labels, missing], axis=1)[:, : outputs.shape[1]]


def _losses(task: str, layer: Any, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Returns the loss of each example; NaN without a label."""
    answer = Answer(keras.ops.convert_to_tensor(outputs))
    found = TaskObjective(task, layer).losses(keras.ops.convert_to_tensor(labels), answer)
    values, counted = (np.asarray(keras.ops.convert_to_numpy(a)).reshape(len(labels), -1) for a in found)
    count = counted.sum(axis=1)
    total = np.where(counted, values, 0.0).sum(axis=1, dtype="float64")
    return np.divide(total, count, out=np.full(len(labels), np.nan), where=count > 0)


def _named(head: Any, label: np.ndarray) -> Any:
    """Returns a label as a person wants it, as far as that differs from how it is given."""
    form = head.label_form
    if form.by_entry or head.names is None or (label.ndim and not form.by_step):
        return _plain(label)
    names = np.asarray(head.names)
    return tuple(names[label[label >= 0]].tolist()) if label.ndim else str(names[label])


def _plain(value: Any) -> Any:
    """Returns an array of NumPy as numbers, or as a tuple of them."""
    if isinstance(value, tuple):
        return value
    value = np.asarray(value)
    return value.item() if value.size == 1 else tuple(value.tolist())


def _shown(pictures: np.ndarray, captions: list[str], title: str) -> Any:
    """Returns a figure of pictures, five in a row."""
    rows = -(-len(pictures) // 5)
    figure = new_figure(10, 0.6 + 2.3 * rows)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(rows, 5, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, caption in zip(axes, pictures.astype("float64"), captions, strict=False):
        low, high = picture.min(), picture.max()
        picture = (picture - low) / (high - low or 1.0)
        axis.imshow(picture if picture.shape[-1] == 3 else picture[..., 0], cmap="gray")
        axis.set_title(caption[:30], fontsize=8)
    return figure
