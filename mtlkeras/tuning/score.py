"""One score for several tasks, logged under one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._types import Logs
from mtlkeras.heads import Head
from mtlkeras.tuning._directions import known_direction, log_directions, main_metrics
from mtlkeras.tuning._packages import keras_tuner

if TYPE_CHECKING:
    import keras_tuner as kt

SCORES = ("delta", "rank", "weighted")


@dataclasses.dataclass(frozen=True)
class MultiTaskScore:
    """A score over the metrics of several tasks; higher is better. Made by `multi_task_objective`.

    Attributes:
        by: `"delta"`, `"rank"` or `"weighted"`.
        values: By name in the logs, the reference value, the reference values or the weight.
        directions: By name in the logs, `"min"` or `"max"`.
    """

    name: ClassVar[str] = "val_multi_task_score"
    direction: ClassVar[str] = "max"

    by: str
    values: Mapping[str, Any]
    directions: Mapping[str, str]

    def __call__(self, logs: Mapping[str, float]) -> float:
        """Returns the score of the logs of an epoch, or of a whole run."""
        parts = [_PARTS[self.by](self._sign(name), logs[name], self.values[name]) for name in self.values]
        return float(np.sum(parts) if self.by == "weighted" else np.mean(parts))

    def _sign(self, name: str) -> float:
        return 1.0 if self.directions[name] == "max" else -1.0

    @property
    def objective(self) -> kt.Objective:
        """The `keras_tuner.Objective` for a search by this score."""
        return keras_tuner().Objective(self.name, self.direction)

    def callback(self) -> keras.callbacks.Callback:
        """Returns the callback that logs the score; it goes before those that read it."""
        return _LogScore(self)


class _LogScore(keras.callbacks.Callback):
    """Adds a score to the logs of every epoch that has been validated."""

    def __init__(self, score: MultiTaskScore) -> None:
        super().__init__()
        self._score = score

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if logs is not None and all(name in logs for name in self._score.values):
            logs[self._score.name] = self._score(logs)


def _relative_change(sign: float, value: float, reference: float) -> float:
    return sign * (value - reference) / abs(reference)


def _share_beaten(sign: float, value: float, references: Sequence[float]) -> float:
    gains = sign * (value - np.asarray(references))
    return float(np.mean(gains > 0) + np.mean(gains == 0) / 2)


def _weighted(sign: float, value: float, weight: float) -> float:
    return sign * value * weight


_PARTS: dict[str, Callable[..., float]] = {
    "delta": _relative_change,
    "rank": _share_beaten,
    "weighted": _weighted,
}


def multi_task_objective(
    model_or_heads: MultiTaskModel | Mapping[str, Head],
    by: str = "delta",
    reference: Mapping[str, Any] | None = None,
    weights: Mapping[str, float] | None = None,
) -> MultiTaskScore:
    """Makes one score out of the metrics of several tasks, in which none drowns the others.

    - `"delta"`: the mean relative change against one reference value per metric, in shares
      (0.05 is five percent better on average).
    - `"rank"`: the mean rank among several reference values per metric, such as the results of
      earlier runs: the share of them that is beaten, ties half. A trial's score must be final
      when the trial ends, so the ranks are not those among the trials of the search itself.
      Beyond the best reference values the score no longer grows.
    - `"weighted"`: the sum of the metrics times the weights; what is better when lower counts
      negatively.

    Use `score.objective` as the objective of a KerasTuner tuner, and put `score.callback()` first
    among the callbacks. It logs the score as `val_multi_task_score`, which callbacks such as
    `EarlyStopping` can monitor with `mode="max"`.

    Args:
        model_or_heads: A compiled model, or heads by task.
        by: `"delta"`, `"rank"` or `"weighted"`.
        reference: For `"delta"` a number, for `"rank"` a list of numbers, by task (for its first
            metric) or by name in the logs such as `"val_kind_f1"`. Every task needs one.
        weights: For `"weighted"`, a number by task or by name in the logs; 0 leaves a task out.

    Raises:
        ValueError: If `by`, a task or a metric is not known, a task has no value, or a value
            does not fit.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(3), "size": mtlkeras.heads.Regression()}
    score = mtlkeras.tuning.multi_task_objective(heads, reference={"kind": 0.8, "size": 2.0})
    score({"val_kind_accuracy": 0.88, "val_size_mae": 1.8})  # 0.1: both are 10 % better
    # keras_tuner.RandomSearch(build, objective=score.objective, ...)
    # tuner.search(..., callbacks=[score.callback(), ...])
    ```

    Reference: Maninis, Radosavovic and Kokkinos 2019, Attentive Single-Tasking of Multiple Tasks
    (the mean relative change).
    """
    if by not in SCORES:
        raise unknown_name("score", by, SCORES, "by= of multi_task_objective")
    argument = "weights" if by == "weighted" else "reference"
    given = weights if by == "weighted" else reference
    if not given:
        raise ValueError(f"multi_task_objective by '{by}' needs {argument}: a value by task.")
    main, directions = main_metrics(model_or_heads), log_directions(model_or_heads)
    values = {main.get(name, name): _checked(by, name, value) for name, value in given.items()}
    chosen = {name: known_direction(name, directions, argument) for name in values}
    _check_tasks(values, main, argument)
    return MultiTaskScore(by, values, chosen)


def _check_tasks(values: Mapping[str, Any], main: Mapping[str, str], argument: str) -> None:
    for task, metric in main.items():
        if metric not in values and not any(name.startswith(f"val_{task}_") for name in values):
            raise ValueError(f"{argument}: task '{task}' has no value. Give one by task or as '{metric}'.")


def _checked(by: str, name: str, value: Any) -> Any:
    """Returns a reference value or a weight as numbers that the score can be made of."""
    numbers = np.asarray(value, dtype="float64")
    if numbers.ndim != (by == "rank") or not numbers.size or not np.isfinite(numbers).all():
        expected = "a list of finite numbers" if by == "rank" else "a finite number"
        raise ValueError(f"The value of '{name}' must be {expected} for '{by}'; received {value!r}.")
    if by == "delta" and numbers == 0:
        raise ValueError(f"The reference of '{name}' is 0, to which there is no relative change.")
    if by == "weighted" and numbers < 0:
        raise ValueError(f"The weight of '{name}' must not be negative; received {value!r}.")
    return numbers.tolist()
