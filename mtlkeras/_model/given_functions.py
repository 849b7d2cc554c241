"""What losses and metrics of Keras' own, and functions of a user, are given of a task.

Each gets labels and outputs in the shapes that it expects, so that no broadcast decides: class indices
or one-hot rows, entries one by one or whole rows, probabilities or scores. A function of the user's is
tried with symbols for each form of the labels when the model is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from mtlkeras._keras_private import arguments_of, function_of
from mtlkeras._model.outputs import Answer
from mtlkeras.layers.output import TaskOutput

# Keras' functions of class indices.
INDICES = {
    "sparse_categorical_crossentropy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "circle",
}
# Keras' functions that are the mean over a row's entries of what each entry alone gives.
ENTRIES = {
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "hinge",
    "huber",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "squared_hinge",
}
# Sizes of symbols, which stand for those that are not known.
_AXES = {1009: "batch", 211: "time", 1013: "time", None: "None"}
# Keras' functions of labels and answers.
ANSWERS = {"accuracy"}


def is_of_keras(function: Any) -> bool:
    """Returns whether a function, or an object's class, is one of Keras' own."""
    owner = function if hasattr(function, "__module__") else type(function)
    return str(owner.__module__).startswith("keras.")


class TaskView:
    """The forms in which a task's labels and outputs may be given.

    Args:
        task: Name of the task.
        layer: Its output layer, which carries the head.
    """

    def __init__(self, task: str, layer: TaskOutput) -> None:
        self.task, self.layer, self.head = task, layer, layer.head
        form = self.head.label_form
        self.by_entry, self.count = form.by_entry, form.count
        self.of_steps = form.by_step

    def rows(self, targets: Any) -> Any:
        """Returns rows of float32: as they are, or one-hot for class indices."""
        if self.by_entry or self.are_rows(targets):
            return ops.cast(targets, "float32")
        return ops.one_hot(ops.maximum(targets, 0), self.count, dtype="float32")

    def indices(self, targets: Any, what: str) -> Any:
        """Returns class indices.

        Raises:
            ValueError: If the labels are rows.
        """
        if self.by_entry or self.are_rows(targets):
            raise ValueError(
                f"{what} of task '{self.task}' takes class indices of shape (batch,); the labels are rows of "
                f"shape (batch, {self.count}). Take the function without 'sparse' in its name."
            )
        return ops.maximum(targets, 0)

    def are_rows(self, targets: Any) -> bool:
        """Returns whether the targets of a head of classes came as rows."""
        return len(targets.shape) == (3 if self.of_steps else 2)

    def symbols(self) -> tuple[dict[str, Any], Any, tuple[int, ...]]:
        """Returns symbolic labels by form, outputs, and the shape of one value an example or step."""
        rank = 2 if self.of_steps else 1
        places = tuple(n for n in (1009, 211, 1013) if n != self.count)[:rank]  # Equal to nothing else.
        outputs = keras.KerasTensor((*places, self.count), "float32")
        labels = {"rows": keras.KerasTensor((*places, self.count), "float32")}
        if not self.by_entry:
            labels = {"indices": keras.KerasTensor(places, "int32"), **labels}
        return labels, outputs, places


class _Try(keras.layers.Layer):
    """Runs a function on symbols."""

    def __init__(self, function: Callable) -> None:
        super().__init__(name="function", dtype="float32")
        self._function = function

    def call(self, *tensors: Any) -> Any:
        return self._function(*tensors)


def find_form(view: TaskView, function: Callable, what: str) -> tuple[str, str]:
    """Returns what labels a user's function takes and what it gives.

    Args:
        view: The task.
        function: A function of labels and outputs.
        what: What to call it in messages.

    Returns:
        `"indices"` or `"rows"`, and `"values"` (one an example or step), `"entries"` (one an entry) or
        `"sequences"` (one a sequence).

    Raises:
        ValueError: If it takes neither, or gives something else.
    """
    labels, outputs, places = view.symbols()
    found, cause = [], None
    for name, symbol in labels.items():
        try:
            shape = tuple(_Try(function)(symbol, outputs).shape)
        except Exception as error:  # Whatever a function raises for shapes that do not fit.
            cause = error
            continue
        if shape == places:
            return name, "values"
        if view.of_steps and shape == places[:1]:
            return name, "sequences"
        if view.by_entry and shape == tuple(outputs.shape):
            return name, "entries"
        found.append((name, shape))
    shapes = [f"labels {_shape(s)} and outputs {_shape(outputs)}" for s in labels.values()]
    ends = "; ".join(f"for {name} it gave shape {_shape(shape)}" for name, shape in found)
    ends = ends or f"it raised {type(cause).__name__}: {str(cause).strip().splitlines()[0]}"
    raise ValueError(
        f"{what} of task '{view.task}' must give one value per example, shape {_shape(places)}, for "
        f"{', or '.join(shapes)}; {ends}."
    ) from cause


def _shape(value: Any) -> str:
    names = [_AXES.get(n, str(n)) for n in getattr(value, "shape", value)]
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


class GivenLoss:
    """A loss that stands in for a head's own.

    Args:
        view: The task.
        identifier: A `keras.losses.Loss`, a function of labels and outputs, or a name known to Keras.

    Raises:
        ValueError: If its reduction is not a mean, or it does not go with the task's shapes.
    """

    def __init__(self, view: TaskView, identifier: Any) -> None:
        self._view = view
        loss = keras.losses.get(identifier)
        self._function = loss.call if isinstance(loss, keras.losses.Loss) else loss
        fixed = arguments_of(loss)
        inner = getattr(loss, "fn", loss)
        name = getattr(inner, "__name__", "")
        self.name = f"The loss {getattr(identifier, '__name__', name) or type(loss).__name__}"
        if isinstance(loss, keras.losses.Loss):
            self.name = f"The loss {type(loss).__name__}"
            _check_reduction(view.task, loss.reduction)
        self._from_logits = bool(fixed.get("from_logits", False))
        self._ignored = fixed.get("ignore_class")
        self._of_keras = is_of_keras(inner)
        if self._from_logits and view.head.units != view.count:
            raise ValueError(
                f"{self.name} of task '{view.task}' takes logits of shape (batch, {view.count}), which "
                f"{type(view.head).__name__} has not. Leave from_logits out."
            )
        self._gives = "values"
        if self._of_keras and name in INDICES:
            self._takes = "indices"
            if view.by_entry:
                view.indices(None, self.name)
        elif self._of_keras and name in ENTRIES and view.by_entry and fixed.get("axis", -1) in (-1, 1):
            self._takes = "entries"
        elif self._of_keras:
            # Rows, whatever a broadcast of indices would give.
            only_rows = TaskView(view.task, view.layer)
            only_rows.by_entry = True
            _, self._gives = find_form(only_rows, self._function, self.name)
            self._takes = "rows"
        else:
            self._takes, self._gives = find_form(view, self._function, self.name)

    def __call__(self, targets: Any, mask: Any, answer: Answer) -> tuple[Any, Any]:
        """Returns the values, and which of them count.

        Args:
            targets: The labels, as the head's form makes them.
            mask: Which are there.
            answer: The task's outputs, with their scores where they are known.
        """
        view = self._view
        outputs = ops.cast(self._seen(answer, mask), "float32")
        if self._takes == "entries":
            # One entry a row, so that the mean over a row is that over what is known of it.
            targets, outputs = ops.expand_dims(targets, -1), ops.expand_dims(outputs, -1)
            return ops.cast(self._function(targets, outputs), "float32"), mask
        if self._takes == "indices":
            # What gives one value a sequence finds by itself where no tag is known.
            targets = targets if self._gives == "sequences" else view.indices(targets, self.name)
        else:
            targets = view.rows(targets)
        values = ops.cast(self._function(targets, outputs), "float32")
        if self._ignored is not None:
            mask = ops.logical_and(mask, ops.not_equal(targets, self._ignored))
        if view.by_entry and self._gives == "values":
            mask = ops.all(mask, axis=-1)  # A function of rows has no value for a row with a gap.
        return values, mask

    def _seen(self, answer: Answer, mask: Any) -> Any:
        """Returns the outputs in the form that the function takes."""
        view = self._view
        if not self._of_keras:
            return view.head.in_a_row(answer.output, 1)
        if self._from_logits:
            return view.head.in_a_row(answer.scores(view.layer), 1)
        outputs = view.head.in_a_row(view.layer.probabilities(answer.output), 1)
        if view.by_entry:
            return outputs
        # Where no label is, the rows may be zeros, which Keras would divide by their sum.
        return ops.where(ops.expand_dims(mask, -1), outputs, 1.0 / view.count)


def _check_reduction(task: str, reduction: Any) -> None:
    if reduction not in ("sum_over_batch_size", "mean", "mean_with_sample_weight"):
        raise ValueError(
            f"loss of task '{task}': reduction='{reduction}' does not fit, since a task's loss is the "
            f"mean over its labelled examples. Use the default reduction, and loss_weights to scale."
        )


class GivenMetric:
    """A metric that is none of a head's own.

    Args:
        view: The task.
        metric: A Keras metric.

    Raises:
        ValueError: If it does not go with the task's shapes.
    """

    def __init__(self, view: TaskView, metric: keras.metrics.Metric) -> None:
        self._view, self._metric = view, metric
        self.name = f"The metric {type(metric).__name__}"
        self._gives = "values"
        self._misfit: ValueError | None = None
        self._takes = self._form()
        self._build()

    def _build(self) -> None:
        """Makes the metric's variables, which a step that is traced could not do twice."""
        labels, outputs, places = self._view.symbols()
        targets = labels.get("indices", labels["rows"])
        shape = tuple(outputs.shape) if self._view.by_entry else places

        def update(targets: Any, outputs: Any, weights: Any) -> Any:
            self.update(targets, outputs, weights)
            return outputs

        try:
            _Try(update)(targets, outputs, keras.KerasTensor(shape, "float32"))
        except ValueError:
            if self._misfit is None or not is_of_keras(type(self._metric)):
                return  # It may look at values, which a model with run_eagerly=True gives it.
            raise self._misfit from None

    def _form(self) -> str:
        view, metric = self._view, self._metric
        function = function_of(metric)
        if function is not None and not is_of_keras(function):
            self.name = f"The metric {getattr(function, '__name__', self.name)}"
            takes, self._gives = find_form(view, function, self.name)
            return takes
        name = getattr(function, "__name__", "")
        if name in INDICES:
            return "indices"
        if name in ANSWERS or (isinstance(metric, keras.metrics.IoU) and not view.by_entry):
            rows = not getattr(metric, "sparse_y_pred", True) or not getattr(metric, "sparse_y_true", True)
            return "rows" if rows else "answers"
        if view.by_entry:
            entries = name in ENTRIES or isinstance(metric, keras.metrics.RootMeanSquaredError)
            return "entries" if entries else "rows"
        if view.count == 2 and _is_binary(metric, name):
            return "positive"
        of_keras = is_of_keras(type(metric)) or isinstance(metric, (keras.metrics.FBetaScore, *_BINARY))
        return "rows" if of_keras else "indices"

    def update(self, targets: Any, outputs: Any, weights: Any) -> None:
        """Updates the metric.

        Args:
            targets: The labels, as the head's form makes them.
            outputs: The task's outputs.
            weights: A weight for each label, zero where there is none.

        Raises:
            ValueError: If the metric does not take the shapes.
        """
        y, p, w = self._given(targets, outputs, weights)
        try:
            self._metric.update_state(y, p, sample_weight=w)
        except Exception as error:
            self._misfit = ValueError(
                f"{self.name} of task '{self._view.task}' does not take labels of shape {_shape(y)} with "
                f"outputs of shape {_shape(p)}: {str(error).strip().splitlines()[0]}"
            )
            raise self._misfit from error

    def _given(self, targets: Any, outputs: Any, weights: Any) -> tuple[Any, Any, Any]:
        view, metric = self._view, self._metric
        if view.by_entry:
            return self._given_entries(targets, outputs, weights)
        answers = view.layer.answers(outputs) if self._takes == "answers" else None
        outputs = view.layer.probabilities(outputs) if answers is None else answers
        if view.of_steps:  # Each step is an example.
            flat = (-1,) if answers is not None else (-1, view.count)
            targets, weights = ops.reshape(targets, (-1,)), ops.reshape(weights, (-1,))
            outputs = ops.maximum(ops.reshape(outputs, flat), 0)
        if self._takes == "rows":
            targets = rows = _flat_rows(view, targets)
            if isinstance(metric, keras.metrics.FBetaScore):
                mask = ops.cast(ops.expand_dims(weights > 0, -1), outputs.dtype)
                targets, outputs = rows * mask, outputs * mask
            return targets, outputs, weights
        if len(targets.shape) == 2:  # Rows of probabilities, of which the largest is the class.
            targets = ops.argmax(targets, axis=-1)
        targets = ops.maximum(targets, 0)
        return targets, outputs[:, 1] if self._takes == "positive" else outputs, weights

    def _given_entries(self, targets: Any, outputs: Any, weights: Any) -> tuple[Any, Any, Any]:
        metric = self._metric
        if self._takes == "entries":
            one = (-1, 1)
            return ops.reshape(targets, one), ops.reshape(outputs, one), ops.reshape(weights, (-1,))
        if isinstance(metric, keras.metrics.FBetaScore):
            # It counts hits and misses per label and takes weights per example only; an entry that is
            # neither labelled nor predicted counts as neither.
            mask = ops.cast(weights > 0, outputs.dtype)
            return targets * mask, outputs * mask, ops.max(weights, axis=-1)
        if isinstance(metric, keras.metrics.MeanMetricWrapper) and self._gives == "values":
            # A function of rows has no value for a row with a gap.
            return targets, outputs, ops.min(weights, axis=-1)
        return targets, outputs, weights


def _flat_rows(view: TaskView, targets: Any) -> Any:
    if len(targets.shape) == 2:
        return ops.cast(targets, "float32")
    return ops.one_hot(ops.maximum(targets, 0), view.count, dtype="float32")


_BINARY = (
    keras.metrics.AUC,
    keras.metrics.Precision,
    keras.metrics.Recall,
    keras.metrics.TruePositives,
    keras.metrics.TrueNegatives,
    keras.metrics.FalsePositives,
    keras.metrics.FalseNegatives,
    keras.metrics.SensitivityAtSpecificity,
    keras.metrics.SpecificityAtSensitivity,
    keras.metrics.PrecisionAtRecall,
    keras.metrics.RecallAtPrecision,
)


def _is_binary(metric: Any, name: str) -> bool:
    """Returns whether a metric is one of a yes or no, which of two classes is the second."""
    if name.startswith("binary_") or name in ("hinge", "squared_hinge"):
        return True
    whole = getattr(metric, "class_id", None) is not None or getattr(metric, "multi_label", False)
    return isinstance(metric, _BINARY) and not whole
