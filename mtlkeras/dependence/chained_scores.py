"""The layer of a `TaskChain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._types import TaskDict, Tensor, TensorsByTask
from mtlkeras.dependence._links import Link, class_scores, log_evidence, merged, split, surprise
from mtlkeras.dependence._tree import Tree
from mtlkeras.dependence.base import FEATURES, DependentScores


@keras.saving.register_keras_serializable("mtlkeras")
class ChainedScores(DependentScores):
    """The pairwise scores of a `TaskChain`, and what they make of the tasks' own.

    Args:
        dependence: The `TaskChain`.
        tasks: The tasks whose scores meet here.
        links: Pairs of a task and `None`, or the number of one of its labels, depth first; by default the
            tasks themselves.
        parents: The number of each link's parent, `None` for a root; by default each hangs on the one before.
        **kwargs: As for every Keras layer; `dtype` is always float32.
    """

    def __init__(
        self,
        dependence: Any,
        tasks: Sequence[str],
        links: Sequence[tuple[str, int | None]] | None = None,
        parents: Sequence[int | None] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dependence, tasks, **kwargs)
        self.links = [Link(*link) for link in links or ((task, None) for task in self.tasks)]
        self.tree = Tree(parents or [None, *range(len(self.links) - 1)])
        self.parents = {self.links[parent].task for parent in self.tree.parents if parent is not None}

    def build(self, input_shape: Any) -> None:
        self.sizes = {t: 2 if entry is not None else input_shape[t][-1] for t, entry in self.links}
        classes = [self.sizes[task] for task, _ in self.links]
        self.shapes = [
            (classes[parent], own)
            for parent, own in zip(self.tree.parents, classes, strict=True)
            if parent is not None
        ]
        # In one variable, for an update of each costs as much as a small layer.
        count = sum(before * after for before, after in self.shapes)
        l2 = self.dependence.l2
        options = {"initializer": "zeros", "regularizer": keras.regularizers.L2(l2) if l2 else None}
        self.pairwise = self.add_weight((count,), name="pairwise", **options)
        if self.dependence.conditional:
            units = input_shape[FEATURES][-1]
            self.kernel = self.add_weight((units, count), name="pairwise_kernel", **options)

    @property
    def transitions(self) -> list[Tensor]:
        """The tables of pairwise scores, `(classes of the parent, classes)`, of all links but the roots."""
        return [ops.reshape(part, shape) for part, shape in zip(self._parts(), self.shapes, strict=True)]

    def call(self, inputs: TensorsByTask) -> dict[str, Tensor]:
        # Of classes scores and no log-probabilities: the softmax behind them makes them so at no cost.
        return {
            task: belief if len(belief.shape) == 2 else belief[..., 1] - belief[..., 0]
            for task, belief in self._marginal(inputs, {}).items()
        }

    def given(self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """Returns scores of p(y_k | known labels, x): log-probabilities of classes, log-odds of labels."""
        return {
            task: ops.log_softmax(belief) if len(belief.shape) == 2 else belief[..., 1] - belief[..., 0]
            for task, belief in self._marginal(scores, labels).items()
        }

    def _marginal(self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        own, tables = self._potentials(scores)
        own = self._seen(own, log_evidence(labels, self.sizes))
        told = self.tree.upward(own, tables)
        heard = self.tree.downward(own, tables, told, told)
        return self._beliefs(own, told, heard)

    def losses_by_task(
        self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]
    ) -> dict[str, Any]:
        own, tables = self._potentials(scores)
        telling = {task: found for task, found in labels.items() if self.tree.forks or task in self.parents}
        seen = self._seen(own, log_evidence(telling, self.sizes))
        # What comes before a link, its siblings' subtrees included, tells what is known there; the rest
        # does not.
        free = self.tree.upward(own, tables)
        known = self.tree.upward(seen, tables) if self.tree.forks else free
        heard = self.tree.downward(seen, tables, known, free)
        return {
            task: surprise(belief, *labels[task]) if task in labels else ops.zeros_like(belief[..., 0])
            for task, belief in self._beliefs(own, free, heard).items()
        }

    def mode(self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        own, tables = self._potentials(scores)
        seen = self._seen(own, log_evidence(labels, self.sizes))
        return merged(self.links, self.tree.mode(seen, tables))

    def _beliefs(self, own: list[Any], told: list[Any], heard: list[Any]) -> dict[str, Any]:
        """Returns by task the scores of its classes with what all links tell each other."""
        beliefs = [self.tree.with_children(k, x, told) for k, x in enumerate(own)]
        pairs = zip(beliefs, heard, strict=True)
        return merged(self.links, [x if message is None else x + message for x, message in pairs])

    def _potentials(self, scores: TensorsByTask) -> tuple[list[Any], list[Any]]:
        """Returns logs of potentials by link: its own, and those with its parent."""
        own, pairs = class_scores(self.links, scores), iter(self._parts(scores.get(FEATURES)))
        shapes = iter(self.shapes)
        tables: list[Any] = []
        for k, parent in enumerate(self.tree.parents):
            if parent is None:
                tables.append(None)
                continue
            # With a batch axis of their own: else Keras takes the scores of a single row for a bias of the
            # table.
            table = ops.reshape(next(pairs), (-1, *next(shapes)))
            if self.dependence.directed:
                table = ops.log_softmax(table + ops.expand_dims(own[k], 1), axis=-1)
                own[k] = ops.zeros_like(own[k])
            tables.append(table)
        return own, tables

    def _parts(self, features: Any = None) -> list[Any]:
        """Returns the pairwise scores of all links but the roots, each in a row."""
        if not self.shapes:
            return []
        values = self.pairwise
        if features is not None:
            values = ops.matmul(ops.cast(features, "float32"), self.kernel) + values
        ends: list[int] = []
        for before, after in self.shapes[:-1]:
            ends.append(before * after + (ends[-1] if ends else 0))
        return list(ops.split(values, ends, axis=-1)) if ends else [ops.convert_to_tensor(values)]

    def _seen(self, own: list[Any], evidence: dict[str, Any]) -> list[Any]:
        """Returns scores in which a class that a known label is not has a score of almost minus infinity."""
        logs = split(self.links, evidence)
        return [x if log is None else x + log for x, log in zip(own, logs, strict=True)]

    def get_config(self) -> dict[str, Any]:
        links = [list(link) for link in self.links]
        return {**super().get_config(), "links": links, "parents": list(self.tree.parents)}
