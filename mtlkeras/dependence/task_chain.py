"""A Markov chain over the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._types import TaskDict, Tensor, TensorsByTask
from mtlkeras.dependence.base import DEPENDENCE, Dependence, DependentScores
from mtlkeras.heads import Classification, Head
from mtlkeras.specs import spec

# The log of a probability of zero, far from the end of float32 also where several are added.
_NEVER = -1e30


@spec
class TaskChain(Dependence):
    """Makes the answers to classification tasks a Markov chain: each depends on its neighbours.

    With s_k the scores of task k's head and T_k a table of pairwise scores between tasks k and k + 1, which
    starts with zeros,

        p(y_1 ... y_K | x) = exp(sum_k s_k[y_k] + sum_k T_k[y_k, y_(k+1)]) / Z(x),

    a linear-chain conditional random field (Lafferty et al. 2001) whose steps are the tasks. The outputs are
    the marginals p(y_k | x). Task k's loss is -log p(y_k | y_1 ... y_(k-1), x) for the labels that are known,
    with those that are not summed out; the losses of an example add up to -log p(known labels | x). A label
    whose sample weight is zero has no loss, and is known to the others. A row of probabilities in place of a
    label is taken for uncertain evidence q, with the likelihood sum_c q_c p(c).

    `model.predict_labels(x, joint=True)` gives the most probable answers together, which is what a share of
    wholly right examples asks for; `known={"b": labels}` gives answers to the other tasks where some are
    known. Without these each task is answered by itself, which is what an accuracy per task asks for.

    Args:
        order: The tasks, at least two, each beside those that it depends on; others are as without a chain.

    Raises:
        ValueError: If an order names a task twice; when a model is built, if it names an unknown task, or one
            that is no `mtlkeras.heads.Classification`, or has `label_smoothing` or `focal_gamma`.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(),
        heads={"domain": mtlkeras.heads.Classification(4), "intent": mtlkeras.heads.Classification(9)},
        dependence=mtlkeras.dependence.TaskChain(("domain", "intent")),
    )
    ```
    """

    order: tuple[str, ...]

    def validate(self) -> None:
        if len(self.order) < 2:
            raise ValueError(f"TaskChain: order must name at least two tasks; received {self.order!r}.")
        twice = [task for i, task in enumerate(self.order) if task in self.order[:i]]
        if twice:
            raise ValueError(f"TaskChain: order names the task '{twice[0]}' twice.")

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return tuple(zip(self.order[:-1], self.order[1:], strict=True))

    def layer(self, heads: Mapping[str, Head]) -> ChainedScores:
        for task in self.order:
            if task not in heads:
                raise unknown_name("task", task, heads, "order= of TaskChain")
            head = heads[task]
            if not isinstance(head, Classification):
                raise ValueError(
                    f"TaskChain: the tasks of a chain are of mtlkeras.heads.Classification; that of task "
                    f"'{task}' is {type(head).__name__}."
                )
            for field in ("label_smoothing", "focal_gamma"):
                if getattr(head, field):
                    raise ValueError(
                        f"TaskChain: the loss of task '{task}' is a likelihood, which {field} of its head "
                        f"would change. Leave {field} out."
                    )
        return ChainedScores(self, self.order, name=DEPENDENCE)


@keras.saving.register_keras_serializable("mtlkeras")
class ChainedScores(DependentScores):
    """The pairwise scores of a `TaskChain`, and what they make of the tasks' own."""

    def build(self, input_shape: Any) -> None:
        classes = [input_shape[task][-1] for task in self.tasks]
        self.transitions = [
            self.add_weight((before, after), initializer="zeros", name=f"{task}_transitions")
            for task, before, after in zip(self.tasks[1:], classes[:-1], classes[1:], strict=True)
        ]

    def call(self, inputs: TensorsByTask) -> dict[str, Tensor]:
        return self.given(inputs, {})

    def given(self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """Returns log p(y_k | known labels, x), each of shape `(batch, classes)`."""
        chain = self._with_evidence(self._in_order(scores), labels)
        pairs = zip(self._forward(chain), self._backward(chain), strict=True)
        return dict(zip(self.tasks, (ops.log_softmax(alpha + beta) for alpha, beta in pairs), strict=True))

    def losses_by_task(
        self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]
    ) -> dict[str, Any]:
        chain = self._in_order(scores)
        beta = self._backward(chain)
        # log of Z(x) times p(known labels of the first k tasks | x), for k = 0 ... K.
        last = ops.logsumexp(chain[0] + beta[0], axis=-1)
        losses = {}
        for task, known, rest in zip(
            self.tasks, self._forward(self._with_evidence(chain, labels)), beta, strict=True
        ):
            seen = ops.logsumexp(known + rest, axis=-1)
            losses[task], last = last - seen, seen
        return losses

    def mode(self, scores: TensorsByTask, labels: TaskDict[tuple[Tensor, Tensor]]) -> dict[str, Any]:
        """Returns the classes of the most probable joint answer, each int32 of shape `(batch,)`."""
        chain = self._with_evidence(self._in_order(scores), labels)
        best, pointers = chain[0], []
        for own, table in zip(chain[1:], self._tables(), strict=True):
            ways = ops.expand_dims(best, -1) + table
            pointers.append(ops.argmax(ways, axis=1))
            best = ops.max(ways, axis=1) + own
        answers = [ops.cast(ops.argmax(best, axis=-1), "int32")]
        for pointer in reversed(pointers):
            place = ops.expand_dims(answers[0], -1)
            answers.insert(0, ops.cast(ops.take_along_axis(pointer, place, axis=-1)[:, 0], "int32"))
        return dict(zip(self.tasks, answers, strict=True))

    def _tables(self) -> list[Tensor]:
        # With a batch axis of their own: else Keras takes the scores of a single row for a bias of the table.
        return [ops.expand_dims(table, 0) for table in self.transitions]

    def _in_order(self, scores: TensorsByTask) -> list[Any]:
        return [ops.cast(scores[task], "float32") for task in self.tasks]

    def _with_evidence(self, chain: list[Any], labels: TaskDict[tuple[Tensor, Tensor]]) -> list[Any]:
        """Returns scores in which a class that a known label is not has the score `_NEVER`."""
        return [
            own + _log_evidence(*labels[task], own.shape[-1]) if task in labels else own
            for task, own in zip(self.tasks, chain, strict=True)
        ]

    def _forward(self, chain: list[Any]) -> list[Any]:
        """Returns the forward messages, each with the task's own scores."""
        messages = [chain[0]]
        for own, table in zip(chain[1:], self._tables(), strict=True):
            messages.append(ops.logsumexp(ops.expand_dims(messages[-1], -1) + table, axis=1) + own)
        return messages

    def _backward(self, chain: list[Any]) -> list[Any]:
        """Returns the backward messages, each without the task's own scores."""
        messages = [ops.zeros_like(chain[-1])]
        for own, table in zip(reversed(chain[1:]), reversed(self._tables()), strict=True):
            messages.insert(0, ops.logsumexp(table + ops.expand_dims(own + messages[0], 1), axis=2))
        return messages


def _log_evidence(labels: Tensor, known: Any, classes: int) -> Tensor:
    """Returns log q for labels or rows of probabilities q, zeros where none is known."""
    rows = ops.cast(labels, "float32")
    if len(labels.shape) == 1:
        rows = ops.one_hot(ops.where(known, labels, 0), classes, dtype="float32")
    possible = rows > 0
    log = ops.where(possible, ops.log(ops.where(possible, rows, 1.0)), _NEVER)
    return ops.where(ops.expand_dims(known, -1), log, 0.0)
