"""From features to outputs: heads, what they read of each other, and the dependence between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import call_behind
from mtlkeras.dependence import Dependence
from mtlkeras.dependence.base import DEPENDENCE, FEATURES
from mtlkeras.features import Features
from mtlkeras.heads.base import Head
from mtlkeras.layers.beside import Beside
from mtlkeras.layers.gradient_fork import GradientFork


class Wiring:
    """The heads of a model on their features.

    Args:
        heads: The heads by task.
        features: By task what its head reads.
        dependence: How the answers to some tasks depend on each other, or `None`.

    Raises:
        ValueError: If heads read each other in a circle, or cannot be part of the dependence.
    """

    def __init__(
        self, heads: Mapping[str, Head], features: Mapping[str, Features], dependence: Dependence | None
    ) -> None:
        self._heads, self._features, self._dependence = heads, dict(features), dependence
        order = in_order(heads)
        self._layer = None if dependence is None else dependence.layer(heads)
        self._scores: dict[str, Any] = {}
        self._class_scores: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._probabilities: dict[str, Any] = {}
        for task in order:
            self._build_scores(task)

    def outputs(self) -> dict[str, Any]:
        """Returns the outputs, in the order of the heads."""
        scores = {**self._scores, **self._dependent()}
        return {task: self._output(task, scores[task]) for task in self._heads}

    def _build_scores(self, task: str) -> None:
        head = self._heads[task]
        read = self._probabilities_of if head.after_reads == "probabilities" else self._scores.__getitem__
        found = {other: read(other) for other in head.after}
        self._features[task] = dataclasses.replace(self._features[task], scores=found)
        self._scores[task] = head.scores(self._features[task], task)
        if self._layer is not None and task in self._layer.tasks:
            self._class_scores[task] = head.class_scores(self._scores[task], task)

    def _probabilities_of(self, task: str) -> Any:
        """Returns what a task's head makes of its scores alone; the scores of numbers."""
        form = self._heads[task].label_form
        if form.are_numbers:
            return self._scores[task]
        if task not in self._class_scores:
            return self._output(task, self._scores[task])
        if task not in self._probabilities:
            # The output has to wait for the scores of all tasks that depend on each other.
            activation = "sigmoid" if form.by_entry else "softmax"
            alone = keras.layers.Activation(activation, dtype="float32", name=f"{task}_alone")
            self._probabilities[task] = alone(self._class_scores[task])
        return self._probabilities[task]

    def _output(self, task: str, scores: Any) -> Any:
        if task not in self._outputs:
            self._outputs[task] = self._heads[task].output(scores, self._features[task], task)
        return self._outputs[task]

    def _dependent(self) -> dict[str, Any]:
        """Returns the scores of the tasks that depend on each other, as their output layers take them."""
        if self._layer is None or self._dependence is None:
            return {}
        given = {task: self._class_scores[task] for task in self._layer.tasks}
        if self._dependence.reads_features:
            given[FEATURES] = self._features_read(self._layer.tasks)
        return self._layer(given)

    def _features_read(self, tasks: tuple[str, ...]) -> Any:
        """Returns the vectors that the heads of some tasks read, beside each other."""
        read = [(x, t) for t in tasks for x in self._heads[t].reads(self._features[t], t).values()]
        different = list({_origin(x, task): x for x, task in read}.values())
        return Beside(name=f"{DEPENDENCE}_features")(different) if len(different) > 1 else different[0]


def _origin(tensor: Any, task: str) -> Any:
    """Returns what tells a tensor that a task reads from others; the copies of a fork are one."""
    fork = call_behind(tensor).operation
    return str(fork.keys[task]) if isinstance(fork, GradientFork) else id(tensor)


def in_order(heads: Mapping[str, Head]) -> list[str]:
    """Returns the tasks with each behind those that it reads.

    Raises:
        ValueError: If one reads an unknown task, or tasks read each other in a circle.
    """
    for task, head in heads.items():
        for other in head.after:
            if other not in heads:
                raise unknown_name("task", other, heads, f"after= of task '{task}'")
    try:
        return list(TopologicalSorter({task: head.after for task, head in heads.items()}).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ValueError(f"heads: the tasks read each other's scores in a circle: {circle}.") from None
