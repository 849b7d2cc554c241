"""The base of all heads."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._fields import check_activation, check_choice
from mtlkeras._types import ClassWeights, Tensor
from mtlkeras.features import Features
from mtlkeras.heads._labels import LabelForm
from mtlkeras.layers.beside import Beside
from mtlkeras.layers.output import TaskOutput
from mtlkeras.specs import Spec, tunable


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class Head(Spec, abc.ABC):
    """One task's output: its layers, loss, metrics, labels and decoding.

    A subclass is a `mtlkeras.specs.spec`. It gives `units`, `activate`, `label_form` and `loss`; the rest has
    a default. One that leaves out one of the four is refused where it is defined.

    Args:
        at: Name of a tap of the trunk to sit on; `None` for the trunk's end.
        hidden: Units of dense layers between the features and the scores.
        activation: Activation of the hidden layers.
        dropout: Rate of dropout before each dense layer of the head.
        l1: L1 factor on the kernels of the head.
        l2: L2 factor on the kernels of the head.
        loss_weight: Weight of the task's loss in the joint objective.
        metrics: Names from `metric_names`, or Keras metrics; `None` for the head's default.
        after: Tasks whose scores the head reads beside the trunk's features.
        after_reads: What it reads of them: `"scores"`, or `"probabilities"`, of regressions their scores.
        after_gradients: Whether gradients flow through what it reads of them.
    """

    kind: ClassVar[str] = "vector"
    default_metrics: ClassVar[tuple[str, ...]] = ()
    metric_names: ClassVar[tuple[str, ...]] = ()

    at: str | None = None
    hidden: tuple[int, ...] = tunable((), (), (128,), (256,))
    activation: str = "relu"
    dropout: float = tunable(0.0, 0.0, 0.2, 0.5)
    l1: float = tunable(0.0, 0.0, 1e-6, 1e-5, 1e-4)
    l2: float = tunable(0.0, 0.0, 1e-5, 1e-4, 1e-3)
    loss_weight: float = 1.0
    metrics: tuple[Any, ...] | None = None
    after: tuple[str, ...] = ()
    after_reads: str = "scores"
    after_gradients: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "attach" in vars(cls):  # A model calls the two that it is made of.
            raise TypeError(f"{cls.__name__}: define scores and output in place of attach, which calls both.")

    def validate(self) -> None:
        name = type(self).__name__
        if any(units < 1 for units in self.hidden):
            raise ValueError(f"{name}: hidden must have whole numbers of at least 1; received {self.hidden}.")
        check_activation(name, "activation", self.activation)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"{name}: dropout must be in [0, 1); received {self.dropout}.")
        for field in ("l1", "l2", "loss_weight"):
            value = getattr(self, field)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: {field} must be finite and not negative; received {value}.")
        check_choice(self, "after_reads", ("scores", "probabilities"))
        for metric in self.metrics or ():
            if isinstance(metric, str) and metric not in self.metric_names:
                raise unknown_name("metric", metric, self.metric_names, f"metrics= of {name}")

    @property
    def noise(self) -> str:
        """What a learned noise does to the loss: `"temperature"` of scores, `"variance"` of a
        squared error, or `"scale"` of an absolute one."""
        return "temperature"

    # Building.

    @property
    @abc.abstractmethod
    def units(self) -> int:
        """Number of scores per example."""

    def reads(self, features: Features, task: str) -> dict[tuple[str | None, str], Any]:
        """Returns the tensors that the head reads, by the tap (`None` for the trunk's end) and the kind.

        Raises:
            ValueError: If the trunk does not give them.
        """
        asked_by = f"{type(self).__name__} of task '{task}'"
        return {(self.at, self.kind): features.get(self.kind, self.at, asked_by=asked_by)}

    def attach(self, features: Features, task: str) -> Tensor:
        """Builds all of the head's layers on a trunk's features; returns the output, named like the task."""
        return self.output(self.scores(features, task), features, task)

    def scores(self, features: Features, task: str) -> Tensor:
        """Builds the head's layers on what it reads of a trunk's features; returns the scores."""
        (x,) = self.reads(features, task).values()
        x = self._beside_others(x, features, task)
        for i, units in enumerate(self.hidden, 1):
            x = self._dense(units, f"{task}_hidden_{i}", self.activation)(
                self._dropped(x, f"{task}_dropout_{i}")
            )
        x = self._dropped(x, f"{task}_dropout")
        return self._dense(self.units, f"{task}_logits", None)(x)

    def _beside_others(self, x: Tensor, features: Features, task: str) -> Tensor:
        """Returns features with what the head reads of the tasks in `after` beside them."""
        if not features.scores:
            return x
        for other, scores in features.scores.items():
            if len(scores.shape) not in (2, len(x.shape)):
                raise ValueError(
                    f"after= of {type(self).__name__} of task '{task}': the scores of '{other}', shape "
                    f"{tuple(scores.shape)}, do not go beside features of shape {tuple(x.shape)}."
                )
        return Beside(self.after_gradients, name=f"{task}_beside")([x, *features.scores.values()])

    def output(self, scores: Tensor, features: Features, task: str) -> Tensor:
        """Builds the last layer on the scores; returns the output, named like the task."""
        return self.output_layer(task)(scores)

    def output_layer(self, task: str) -> TaskOutput:
        """Returns the last layer, named like the task."""
        return TaskOutput(self, name=task)

    def output_shape(self, score_shape: tuple) -> tuple:
        """Returns the shape of the outputs for a shape of the head's last dense layer."""
        return tuple(score_shape)

    def _dense(self, units: int, name: str, activation: str | None) -> Any:
        # float32 whatever the policy: a head is small, and its scores feed a loss.
        return keras.layers.Dense(
            units,
            activation,
            name=name,
            dtype="float32",
            kernel_regularizer=keras.regularizers.L1L2(self.l1, self.l2) if self.l1 or self.l2 else None,
        )

    def _dropped(self, x: Tensor, name: str) -> Tensor:
        return keras.layers.Dropout(self.dropout, name=name, dtype="float32")(x) if self.dropout else x

    # Scores and outputs, float32 tensors.

    @abc.abstractmethod
    def activate(self, scores: Tensor) -> Tensor:
        """Returns the model's outputs for scores."""

    def invert(self, outputs: Tensor) -> Tensor:
        """Returns scores that give these outputs, for a loss of outputs that came without their scores.

        In training and evaluation the scores are there; a head need not have this.

        Raises:
            ValueError: If the head does not tell its scores from its outputs.
        """
        raise ValueError(
            f"{type(self).__name__} cannot tell its scores from its outputs alone. Take the outputs from "
            "model.outputs_for_loss(x, training=True), which bring their scores."
        )

    # Labels, loss and metrics. `y` is a label tensor as the user gives it.

    @property
    @abc.abstractmethod
    def label_form(self) -> LabelForm:
        """What the labels look like."""

    def labelled(self, y: Tensor) -> Tensor:
        """Returns a bool mask of the labels that are there.

        Shape `(batch,)`, or `(batch, entries)` where each entry may be missing alone.

        Raises:
            ValueError: If the labels' shape does not fit.
        """
        return self.label_form.labelled(self.label_form.arranged(y))

    def targets(self, y: Tensor, mask: Tensor) -> Tensor:
        """Returns labels in the head's own form, with any valid value where `mask` is false.

        Raises:
            ValueError: If the labels' shape does not fit.
        """
        return self.label_form.targets(self.label_form.arranged(y), mask)

    @property
    def weighed_by_label(self) -> bool:
        """Whether a sample weight may be one for each label, and not only one for each example."""
        return self.label_form.by_entry

    def check_label_weights(self, weights: np.ndarray, where: str) -> None:
        """Raises `ValueError` for sample weights by label that the head's loss cannot take.

        Args:
            weights: Shape of the labels.
            where: What to name in the message.
        """

    @abc.abstractmethod
    def loss(self, targets: Tensor, scores: Tensor, layer: TaskOutput) -> Tensor:
        """Returns the loss of each label, in the shape of the mask of `labelled`."""

    def weigh(self, values: Tensor, targets: Tensor, layer: TaskOutput) -> Tensor:
        """Returns losses of labels times the weights that the head gives their classes, by default 1."""
        return values

    # Answers that depend on those of other tasks.

    @property
    def answer_classes(self) -> tuple[int, ...]:
        """Number of classes of each answer to an example, where others can depend on it; else empty."""
        return ()

    def class_scores(self, scores: Tensor, task: str) -> Tensor:
        """Builds what makes of the scores those that a dependence takes; returns them.

        A score for each class, `(batch, classes)`; for yes/no labels the log-odds of each, `(batch, labels)`.
        """
        return scores

    def class_log_probabilities(self, scores: Tensor) -> Tensor:
        """Returns log-probabilities of the classes of each answer, for scores as `loss` takes them.

        Shape `(batch, classes)`; for yes/no labels `(batch, labels, 2)`.

        Raises:
            ValueError: If the answers are not classes.
        """
        raise ValueError(f"{type(self).__name__} has no answers of classes.")

    def in_a_row(self, values: Tensor, axes: int = 0) -> Tensor:
        """Returns labels or weights by pixel, outputs with `axes=1`, with all pixels on one axis.

        What has no pixels is passed on.
        """
        return values

    def in_pictures(self, values: Tensor, outputs: Tensor) -> Tensor:
        """Returns what `in_a_row` made of labels or weights with the axes of pictures again.

        What has no pixels is passed on.

        Args:
            values: Labels, weights or answers, all pixels on one axis.
            outputs: Outputs of the model, with the axes of pictures.
        """
        return values

    def within(self, mask: Tensor, outputs: Tensor) -> Tensor:
        """Returns the mask of labels without those that the outputs have no place for."""
        return mask

    def by_unit(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns losses, and what of them counts, for each unit that the task's mean is over.

        An example by default: one with several entries has the mean over those that are known.

        Args:
            values: Result of `loss`.
            mask: Result of `within`.

        Returns:
            Float32 and bool of one shape, whose first axis is the batch.
        """
        values = ops.where(mask, values, 0.0)
        if len(mask.shape) == 1:
            return values, mask
        if mask.shape[-1] == 1:
            return ops.squeeze(values, -1), ops.squeeze(mask, -1)
        count = ops.sum(ops.cast(mask, "float32"), axis=-1)
        return ops.sum(values, axis=-1) / ops.maximum(count, 1.0), count > 0

    def metric_outputs(self, outputs: Tensor, layer: TaskOutput) -> Tensor:
        """Returns outputs in the form that the metrics of `metric_names` take."""
        return outputs

    def metric_targets(self, targets: Tensor) -> Tensor:
        """Returns targets in the form that the metrics of `metric_names` take."""
        return targets

    @property
    def balanced(self) -> int:
        """How many weights of classes `fit` takes from the labels; 0 if the head has its own."""
        return 0

    def weigh_classes(self, targets: Tensor, class_weight: ClassWeights | Tensor) -> Tensor:
        """Returns the weight of each label, for weights by class or a tensor of one a class."""
        raise ValueError(f"{type(self).__name__} has no classes, so it takes no class_weight.")

    def class_weights(self, class_weight: ClassWeights) -> np.ndarray:
        """Returns one weight a class, float32, for weights by class index or name.

        Raises:
            ValueError: If the head has no classes, or the weights do not fit them.
        """
        raise ValueError(f"{type(self).__name__} has no classes, so it takes no class_weight.")

    def metric(self, name: str) -> keras.metrics.Metric:
        """Returns a new metric for one of `metric_names`."""
        raise unknown_name("metric", name, self.metric_names, f"metrics of {type(self).__name__}")

    # What a person wants.

    def decode(self, outputs: Tensor) -> dict[str, Tensor]:
        """Returns decoded tensors by suffix: `""` the answer, others what goes with it."""
        return {"": outputs}

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the classes that `decode`'s answer counts, if it does and they have any."""
        return None

    @property
    def decoded_names(self) -> dict[str, tuple[str, ...]]:
        """By suffix of `decode`, the names that its whole numbers count; -1 has none."""
        return {} if self.names is None else {"": self.names}

    def one_length(self, outputs: Any) -> np.ndarray:
        """Returns the outputs of `predict`, which are ragged if its batches were, as one array."""
        return outputs

    def labels(self, outputs: np.ndarray, layer: TaskOutput) -> np.ndarray:
        """Returns the labels a person wants for outputs of `predict`."""
        answer = np.asarray(layer.answers(ops.convert_to_tensor(outputs)))
        return answer if self.names is None else np.asarray(self.names)[answer]


def check_class_names(owner: str, names: Any, count: int, argument: str) -> None:
    """Raises `ValueError` unless there are as many distinct names as classes."""
    if names is None:
        return
    if len(names) != count:
        raise ValueError(f"{owner}: {argument} must have {count} entries; received {len(names)}.")
    if len(set(names)) != len(names):
        raise ValueError(f"{owner}: {argument} must be distinct; received {tuple(names)}.")
