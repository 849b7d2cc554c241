"""What teachers say about inputs, as labels of further tasks."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import call_behind
from mtlkeras._model import checks
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.pixel_inputs import model_inputs
from mtlkeras._model.ways_in import WrappedDataset
from mtlkeras.layers import GradientFork

SOFT, FEATURES = "_soft", "_features"
"""What the names of the further tasks end with."""


class Teacher:
    """A trained model that knows a task.

    Args:
        task: The student's task.
        model: The model, which has a task of that name or one only.
        with_features: Whether it is asked for its features too.

    Raises:
        ValueError: If it is no `MultiTaskModel` or does not know the task.
    """

    def __init__(self, task: str, model: Any, with_features: bool) -> None:
        if not isinstance(model, MultiTaskModel):
            raise ValueError(
                f"distil: the teacher of task '{task}' must be a MultiTaskModel; received {model!r}."
            )
        own = task if task in model.heads else next(iter(model.heads))
        if own != task and len(model.heads) > 1:
            raise unknown_name("task", task, model.heads, f"the teacher '{model.name}'")
        self.model, self.head = model, model.heads[own]
        outputs = {task + SOFT: model.output[own]}
        if with_features:
            outputs[task + FEATURES] = features(model, own)
        self.widths = {name: x.shape[-1] for name, x in outputs.items()}
        self._answers = keras.Model(model.input, outputs)

    def labels(self, x: Any, batch_size: int) -> dict[str, np.ndarray]:
        """Returns what the teacher says about inputs, float32 `(batch, width)` by further task."""
        found = self._answers.predict(model_inputs(self.model, x), batch_size=batch_size, verbose=0)
        return {name: np.asarray(values, "float32") for name, values in found.items()}

    def labels_of_batch(self, x: Any) -> dict[str, np.ndarray]:
        """As `labels`, for one batch."""
        found = self._answers.predict_on_batch(model_inputs(self.model, x))
        return {name: np.asarray(values, "float32") for name, values in found.items()}


def features(model: MultiTaskModel, task: str) -> Any:
    """Returns the tensor that a task's head reads of what the tasks share, `(batch, features)`.

    Raises:
        ValueError: If it is no vector, or the tasks share nothing.
    """
    try:
        trunk = model.trunk
    except AttributeError as error:
        raise ValueError(f"distil: features= {error}") from None
    waiting, found = [model.output[task]], {}
    while waiting:
        tensor = waiting.pop()
        operation = call_behind(tensor).operation
        if operation is trunk or isinstance(operation, GradientFork):
            found[id(tensor)] = tensor
        else:
            waiting += call_behind(tensor).inputs
    vectors = [x for x in found.values() if len(x.shape) == 2 and keras.backend.is_float_dtype(x.dtype)]
    if len(vectors) != 1:
        shapes = [tuple(x.shape) for x in found.values()]
        raise ValueError(
            f"distil: features= are matched where a head reads one vector of the trunk; task '{task}' of "
            f"'{model.name}' reads tensors of shapes {shapes}."
        )
    return vectors[0]


class Softened:
    """Gives data the labels that teachers add to them.

    Args:
        teachers: The teachers.
        tasks: The student's tasks.
    """

    def __init__(self, teachers: Mapping[str, Teacher], tasks: list[str]) -> None:
        self._teachers, self._tasks = teachers, tasks

    def data(self, data: Any, batch_size: int) -> tuple[Any, ...]:
        """Returns data as `fit` takes them, `(x, y, sample_weight)`; of batches `(batches,)`.

        Args:
            data: Arrays `(x, y)` or `(x, y, sample_weight)`, or what gives such batches.
            batch_size: Of the teachers, for arrays.
        """
        if isinstance(data, (tuple, list)):
            x = data[0]
            found: dict[str, Any] = {}
            for teacher in self._teachers.values():
                found |= teacher.labels(x, batch_size)
            x, y, *weights = self._with(tuple(data), found)
            return x, y, *(weights or (None,))
        if hasattr(data, "element_spec"):
            from mtlkeras.data._mapped import with_labels  # Which needs TensorFlow.

            widths = {name: n for teacher in self._teachers.values() for name, n in teacher.widths.items()}
            return (with_labels(data, self.batch, widths),)
        if isinstance(data, keras.utils.PyDataset):
            return (SoftDataset(data, self),)
        if isinstance(data, types.GeneratorType):
            return (map_generator(self, data),)
        raise ValueError(
            "distil: data must be arrays (x, y) or (x, y, sample_weight), a tf.data.Dataset, a "
            f"keras.utils.PyDataset or a generator; received {type(data).__name__}."
        )

    def batch(self, batch: Any) -> tuple[Any, ...]:
        """Returns a batch with the teachers' labels."""
        x = batch[0] if isinstance(batch, (tuple, list)) else batch
        found: dict[str, Any] = {}
        for teacher in self._teachers.values():
            found |= teacher.labels_of_batch(x)
        return self._with(tuple(batch) if isinstance(batch, (tuple, list)) else (batch,), found)

    def _with(self, batch: tuple[Any, ...], found: Mapping[str, Any]) -> tuple[Any, ...]:
        x, y, weights = (*batch, None, None)[:3]
        labels = {**checks.by_task(y, self._tasks, "labels"), **found}
        if weights is None:
            return x, labels
        if isinstance(weights, Mapping):
            # A weight of each label is one of labels of another form.
            alone = {task: w for task, w in weights.items() if len(np.shape(w)) == 1}
            more = {f"{task}{end}": w for task, w in alone.items() for end in (SOFT, FEATURES)}
            weights = {**weights, **{name: w for name, w in more.items() if name in found}}
        return x, labels, weights


def map_generator(softened: Softened, batches: Any) -> Any:
    """Yields the batches of a generator with the teachers' labels."""
    for batch in batches:
        yield softened.batch(batch)


class SoftDataset(WrappedDataset):
    """A `keras.utils.PyDataset` whose batches have teachers' labels.

    Args:
        inner: The data set; its batches are read one after the other.
        softened: What adds the labels.
    """

    def __init__(self, inner: Any, softened: Softened) -> None:
        super().__init__(inner)
        self._softened = softened

    def __getitem__(self, index: int) -> Any:
        return self._softened.batch(self._inner[index])
