"""The bases of all dependences between tasks."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._types import TaskDict, Tensor, TensorsByTask
from mtlkeras.heads import Head
from mtlkeras.specs import Spec

DEPENDENCE = "dependence"
"""Name of the layer within a `MultiTaskModel` in which the scores of several tasks meet."""

FEATURES = "/features"
"""Key of the features among what a dependence is called with; no task has a name with a slash."""


class Dependence(Spec, abc.ABC):
    """Joins the scores of several heads, whose answers depend on each other, into one distribution.

    A subclass is a `mtlkeras.specs.spec`; the layer that it gives has the weights.
    """

    @property
    @abc.abstractmethod
    def links(self) -> tuple[tuple[str, str], ...]:
        """The pairs of tasks that depend on each other directly, for pictures."""

    @property
    def reads_features(self) -> bool:
        """Whether the layer is to be given the features that the heads read."""
        return False

    @abc.abstractmethod
    def layer(self, heads: Mapping[str, Head]) -> DependentScores:
        """Returns the layer between the heads' scores and their outputs, named `DEPENDENCE`.

        Args:
            heads: The model's heads by task.

        Raises:
            ValueError: If a head cannot take part, naming its task.
        """


class DependentScores(keras.layers.Layer, abc.ABC):
    """Takes the scores of tasks, and gives scores that know of each other; computes their joint loss.

    The layer computes in float32 under any dtype policy.

    Args:
        dependence: The spec; it travels in the layer's config.
        tasks: The tasks whose scores meet here.
        **kwargs: As for every Keras layer; `dtype` is always float32.

    Inputs and outputs are dicts of tensors by task: the scores as a head's `class_scores` leaves them. Under
    `FEATURES` the inputs also have what the heads read, shape `(batch, features)`, if the spec asks for it. A
    head's output layer makes of a task's output the distribution of its answer with all others summed out.
    """

    def __init__(self, dependence: Any, tasks: Any, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.dependence, self.tasks = dependence, tuple(tasks)

    @abc.abstractmethod
    def call(self, inputs: TensorsByTask) -> dict[str, Tensor]:
        """Returns the scores that know of each other."""

    @abc.abstractmethod
    def losses_by_task(
        self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]
    ) -> dict[str, Any]:
        """Returns each task's part of the negative log-likelihood of the labels that are known.

        Args:
            scores: What the layer was called with.
            labels: Labels and the bool mask of those that are known, by task; a task without labels may be
                left out.

        Returns:
            Tensors by task of the shape of the labels' mask, whose sum over all tasks and labels of an
            example is that of all its known labels together.
        """

    @abc.abstractmethod
    def given(self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """Returns what `call` does, where the answers to some tasks are known; arguments as above."""

    @abc.abstractmethod
    def mode(self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """Returns the answers that are the most probable together: int32 of the shape of a task's mask.

        Arguments as above.
        """

    def get_config(self) -> dict[str, Any]:
        dependence = keras.saving.serialize_keras_object(self.dependence)
        return {**super().get_config(), "dependence": dependence, "tasks": list(self.tasks)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DependentScores:
        return cls(**{**config, "dependence": keras.saving.deserialize_keras_object(config["dependence"])})
