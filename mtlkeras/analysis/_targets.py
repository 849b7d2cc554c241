"""What an explanation explains: one score of a task's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.outputs import Answer

_PIXELS = 4  # Axes of outputs for every pixel.


class Target:
    """One score of a task for each of some examples, as a function of the model's outputs.

    Args:
        model: The model.
        task: The task; `None` for the only one.
        target: Index or name of the class, yes/no label, mask or number, or one for each example; `None` for
            what the model answers: the class, the likeliest yes/no label, the class of the most pixels; of
            several numbers the first.
        at: The step, of heads that answer for every step.
        asked_by: What to name in messages.

    Raises:
        ValueError: If the task is unknown, or the head has no such target.
    """

    def __init__(self, model: Any, task: str | None, target: Any, at: int | None, asked_by: str) -> None:
        if not isinstance(model, MultiTaskModel):
            raise ValueError(f"{asked_by}: expected a MultiTaskModel; received {type(model).__name__}.")
        if not model.gives_scores:
            raise ValueError(
                f"{asked_by}: the class {type(model).__name__} has a call of its own, so that its outputs "
                "may not be those of its graph."
            )
        self.task, self.model = _task(model, task, asked_by), model
        self.layer, self._asked_by, self._at = model.output_layers[self.task], asked_by, at
        self.head = self.layer.head
        self._given = target
        self._indices: np.ndarray | None = None
        self._check_at()
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()  # Within `fit` the values are not in the variables.

    @property
    def _owner(self) -> str:
        return f"{self._asked_by}: {type(self.head).__name__} of task '{self.task}'"

    def _check_at(self) -> None:
        by_step = hasattr(self.head, "steps")
        if by_step and self._at is None:
            raise ValueError(f"{self._owner} answers for every step: choose one with at=, from 0 on.")
        if not by_step and self._at is not None:
            raise ValueError(f"{self._owner} has one answer an example; received at={self._at!r}.")
        whole = isinstance(self._at, (int, np.integer)) and not isinstance(self._at, bool)
        if self._at is not None and (not whole or self._at < 0):
            raise ValueError(f"{self._owner}: at= must be a whole number from 0 on; received {self._at!r}.")

    def fix(self, results: Any) -> None:
        """Chooses the target of each example by what the model, called for all of them, gives."""
        output = results[0][self.task]
        count = int(output.shape[0])
        if self._at is not None:
            there = ops.convert_to_numpy(self.head.steps(output))
            steps = there.shape[1] if there.ndim == 2 else 0
            if self._at >= steps or not there[:, self._at].all():
                raise ValueError(
                    f"{self._owner}: there is no step {self._at} in every example; the shortest has "
                    f"{int(there.sum(axis=1).min())} of them."
                )
        if self._given is None:
            self._indices = self._answered(output)
            return
        several = isinstance(self._given, (list, tuple, np.ndarray)) and np.ndim(self._given) > 0
        given = list(self._given) if several else [self._given] * count
        if len(given) != count:
            raise ValueError(f"{self._owner}: {len(given)} targets for {count} examples.")
        self._indices = np.array([self._index(one) for one in given])

    def score(self, results: Any, examples: np.ndarray) -> Any:
        """Returns the target's score, `(rows,)`.

        Args:
            results: The outputs by task, and what is behind them, for some rows.
            examples: Which example each row is one of.
        """
        assert self._indices is not None
        values = self._scores(*(part[self.task] for part in results))
        if len(values.shape) == _PIXELS:
            values = ops.mean(values, axis=(1, 2))
        elif self._at is not None:
            values = values[:, self._at]
        chosen = np.eye(values.shape[-1], dtype="float32")[self._indices[examples]]
        return ops.sum(ops.cast(values, "float32") * chosen, axis=-1)

    def indices(self) -> tuple[int, ...]:
        """Returns the index of the target of each example."""
        assert self._indices is not None
        return tuple(map(int, self._indices))

    def names(self) -> list[str]:
        """Returns what the score of each example is, in words."""
        assert self._indices is not None
        where = ", mean over the pixels" if self._by_pixel else ""
        where = where if self._at is None else f", step {self._at}"
        return [f"{self._kind} {self._name(int(index))}{where}" for index in self._indices]

    def _scores(self, output: Any, behind: Any) -> Any:
        """Returns one score for each target, on the last axis."""
        if self._are_numbers:
            return output
        scores = Answer(output, behind).scores(self.layer)
        if scores.shape[-1] == self._count:
            return scores
        return self.head.class_log_probabilities(scores)

    @property
    def _are_numbers(self) -> bool:
        return self.head.label_form.are_numbers

    @property
    def _by_pixel(self) -> bool:
        return len(self.layer.output.shape) == _PIXELS

    @property
    def _count(self) -> int:
        return int(self.layer.output.shape[-1])

    @property
    def _kind(self) -> str:
        if self._are_numbers:
            return "number"
        ordered = type(self.layer).__name__ in ("OrdinalOutput", "OrdinalMarginals")
        return "log-probability of" if ordered else "score of"

    @property
    def _names(self) -> Sequence[str] | None:
        head = self.head
        return head.names or getattr(head, "label_names", None) or getattr(head, "class_names", None)

    def _name(self, index: int) -> str:
        return str(index) if self._names is None else f"'{self._names[index]}'"

    def _answered(self, output: Any) -> np.ndarray:
        rows = int(output.shape[0])
        if self._are_numbers:
            return np.zeros(rows, int)
        values = ops.convert_to_numpy(output)
        if self.head.label_form.by_entry:
            means = values.mean(axis=(1, 2)) if self._by_pixel else values
            return means.argmax(axis=-1)
        answers = ops.convert_to_numpy(self.layer.answers(output))
        if self._at is not None:
            return answers[:, self._at]
        if self._by_pixel:
            flat = answers.reshape(rows, -1)
            return np.array([np.bincount(row, minlength=self._count).argmax() for row in flat])
        return answers

    def _index(self, target: Any) -> int:
        if isinstance(target, str):
            if self._names is None or target not in self._names:
                raise unknown_name("target", target, self._names or (), f"target= of {self._asked_by}")
            return list(self._names).index(target)
        whole = isinstance(target, (int, np.integer)) and not isinstance(target, bool)
        if not whole or not 0 <= target < self._count:
            raise ValueError(
                f"{self._owner}: target= must be from 0 to {self._count - 1}, or a name; received {target!r}."
            )
        return int(target)


def _task(model: Any, task: str | None, asked_by: str) -> str:
    tasks = list(model.heads)
    if task is None:
        if len(tasks) > 1:
            raise ValueError(f"{asked_by}: choose a task with task=: {', '.join(map(repr, tasks))}.")
        return tasks[0]
    if task not in tasks:
        raise unknown_name("task", task, tasks, f"task= of {asked_by}")
    return task


def results_of(model: Any, inputs: list[Any]) -> Any:
    """Returns a model's outputs by task and what is behind them, for inputs as `ready` gives them."""
    packed = keras.tree.pack_sequence_as(model.input, inputs)
    return model.scored(packed, training=False)
