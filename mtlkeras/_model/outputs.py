"""Outputs that bring the scores that they were made of, as a loss needs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from mtlkeras._backends import container
from mtlkeras._keras_private import call_behind, tree_node
from mtlkeras._model.gate_entropies import ENTROPIES, gate_entropies
from mtlkeras.dependence.base import DEPENDENCE, FEATURES, DependentScores
from mtlkeras.layers.output import TaskOutput


@container
@tree_node
class Outputs(dict):
    """A model's outputs by task, with what the last layer of each head took.

    A loss is exact from scores only: a probability of 1 - 1e-9 rounds to 1 in float32. An output that is put
    in the place of another has no scores. What maps the outputs gets a plain dict.

    Args:
        outputs: The outputs by task.
        behind: By task what the task's output layer was called with; and under `DEPENDENCE` what the layer
            was called with in which the scores of several tasks meet, if there is one; under `ENTROPIES`
            those of the gates that are logged, if there are any.
    """

    # Without arguments as TensorFlow makes one where it maps a dict.
    def __init__(
        self, outputs: Mapping[str, Any] | None = None, behind: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(outputs or {})
        self._made, self._behind = dict(self), dict(behind or {})

    @property
    def dependent(self) -> Any:
        """What a dependence was called with, the scores by task that meet in it, or `None`."""
        scores = self._behind.get(DEPENDENCE, {})
        return (
            scores if scores and all(self._is_as_made(task) for task in scores if task != FEATURES) else None
        )

    @property
    def entropies(self) -> dict[str, Any]:
        """The entropies of the gates by name, shape `(batch,)`; none for gates that are not logged."""
        return self._behind.get(ENTROPIES, {})

    def answer(self, task: str) -> Answer:
        """Returns a task's output with what is behind it."""
        return Answer(self[task], self._behind.get(task) if self._is_as_made(task) else None)

    def _is_as_made(self, task: str) -> bool:
        return task in self._made and self.get(task) is self._made[task]

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the outputs and what is behind those that are as made, which make the same anew."""
        kept = {task: inputs for task, inputs in self._behind.items() if self._is_as_made(task)}
        if self.dependent is not None:
            kept[DEPENDENCE] = self.dependent
        if self.entropies:
            kept[ENTROPIES] = self.entropies
        return dict(self), kept

    def tree_flatten(self) -> tuple[list[Any], list[str], list[str]]:
        """Returns the outputs and their tasks, for `keras.tree`."""
        tasks = sorted(self)
        return [self[task] for task in tasks], tasks, tasks

    @classmethod
    def tree_unflatten(cls, tasks: Any, outputs: Any) -> dict[str, Any]:
        """Returns a plain dict of what the outputs became."""
        return dict(zip(tasks, outputs, strict=True))


class Answer(NamedTuple):
    """One task's output, and what the task's output layer was called with, if that is known."""

    output: Any
    inputs: Any = None

    def scores(self, layer: TaskOutput) -> Any:
        """Returns the scores that the output was made of, or others that give the same output."""
        if self.inputs is None:
            return layer.scores_for(self.output)
        return layer.scores(keras.tree.map_structure(_in_float32, self.inputs))


def answer(outputs: Mapping[str, Any], task: str) -> Answer:
    """Returns a task's output of a model or of a caller."""
    return outputs.answer(task) if isinstance(outputs, Outputs) else Answer(outputs[task])


def dependence_layer(model: Any) -> DependentScores | None:
    """Returns the layer in which the scores of several tasks meet, if there is one."""
    return next((layer for layer in model.layers if isinstance(layer, DependentScores)), None)


def dependent_scores(layer: DependentScores, outputs: Any) -> Any:
    """Returns what a dependence was called with for these outputs.

    Raises:
        ValueError: If the outputs came without their scores.
    """
    scores = getattr(outputs, "dependent", None)
    if scores is None:
        raise ValueError(
            f"The loss of the tasks {', '.join(layer.tasks)}, which depend on each other, is that of "
            "their scores. Take the outputs from model.outputs_for_loss(x, training=True)."
        )
    return scores


def twin(model: Any) -> keras.Model:
    """Returns a model of the same layers that also gives what the output layers are called with, by task.

    And the entropies of gates that are logged, under `ENTROPIES`.
    """
    behind = {}
    for task, output in model.output.items():
        inputs = call_behind(output).inputs
        behind[task] = inputs if len(inputs) > 1 else inputs[0]
    layer = dependence_layer(model)
    if layer is not None:
        (behind[DEPENDENCE],), _ = call_behind(behind[layer.tasks[0]]).arguments
    entropies = gate_entropies(model)
    if entropies:
        behind[ENTROPIES] = entropies
    return keras.Model(model.input, (model.output, behind))


def _in_float32(tensor: Any) -> Any:
    return ops.cast(tensor, "float32") if keras.backend.is_float_dtype(tensor.dtype) else tensor
