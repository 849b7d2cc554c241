"""Early stopping for each task by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras._keras_private import direction_of
from mtlkeras._model.parts import Parts
from mtlkeras._model.recompiling import logged_metrics, set_loss_factors
from mtlkeras._types import Logs


class EarlyStoppingPerTask(keras.callbacks.Callback):
    """Stops training a task whose validation score no longer gets better, while the others go on.

    From then on its loss counts `factor` of its weight: with 0 it moves neither the trunk nor its head, which
    stays as it was in its best epoch. When all tasks have stopped, so does the training. The steps are not
    traced anew; logs are of all tasks throughout, and `loss` stays the sum by the loss weights.

    Balancers see a stopped task as one without labels.

    Args:
        patience: Epochs without a better value after which a task stops.
        monitor: By task what is looked at, such as `"val_slots_f1"`; `val_<task>_loss` for tasks left out.
        tasks: The tasks that may stop; `None` for all.
        factor: What a stopped task's loss counts, from 0 to 1.
        min_delta: By how much a value must be better than the best to count.
        restore_best: With a factor of 0, whether the head goes back to its best epoch; else it stays as it is
            when it stops. The trunk goes on, and is not restored.
        mode: By task `"min"` or `"max"`, for values that do not say which is better.

    Attributes:
        stopped: The epoch in which each task has stopped, from 0.
        best: The best value of each task.

    Raises:
        ValueError: If an argument does not fit; when training begins, for an unknown task or value.

    Example:

    ```python
    heads = {"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam")
    x, y = np.ones((8, 4)), {"a": np.arange(8.0), "b": np.ones(8)}
    stop = mtlkeras.training.EarlyStoppingPerTask(patience=2)
    model.fit(x, y, validation_data=(x, y), epochs=3, callbacks=[stop], verbose=0)
    stop.stopped
    ```
    """

    def __init__(
        self,
        patience: int = 3,
        monitor: Mapping[str, str] | None = None,
        tasks: Sequence[str] | None = None,
        factor: float = 0.0,
        min_delta: float = 0.0,
        restore_best: bool = True,
        mode: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._patience = whole_number("EarlyStoppingPerTask", "patience", patience)
        if not 0 <= factor < 1:
            raise ValueError(
                f"EarlyStoppingPerTask: factor must be at least 0 and below 1; received {factor!r}."
            )
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"EarlyStoppingPerTask: min_delta must be 0 or more; received {min_delta!r}.")
        for task, word in (mode or {}).items():
            if word not in ("min", "max"):
                raise ValueError(
                    f"EarlyStoppingPerTask: mode of '{task}' must be 'min' or 'max'; received {word!r}."
                )
        self._factor, self._min_delta, self._restore_best = float(factor), float(min_delta), restore_best
        self._monitor, self._mode = dict(monitor or {}), dict(mode or {})
        self._tasks = None if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
        self._watched: dict[str, tuple[str, float]] = {}
        self._weights: dict[str, list[Any]] = {}
        self._begin()

    def _begin(self) -> None:
        # Public, as what a callback remembers is part of a backup.
        self.stopped: dict[str, int] = {}
        self.best: dict[str, float] = {}
        self.wait: dict[str, int] = {}
        self.best_weights: dict[str, list[np.ndarray]] = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        self._begin()
        tasks = list(self.model.heads)
        for argument, given in (
            ("tasks", self._tasks or ()),
            ("monitor", self._monitor),
            ("mode", self._mode),
        ):
            for task in given:
                if task not in tasks:
                    raise unknown_name("task", task, tasks, f"{argument} of EarlyStoppingPerTask")
        metrics, self._watched = logged_metrics(self.model), {}
        for task in self._tasks or tasks:
            name = self._monitor.get(task, f"val_{task}_loss")
            if name.removeprefix("val_") not in metrics:
                known = [f"val_{known}" for known in metrics]
                raise unknown_name("value", name, known, f"monitor of task '{task}'")
            self._watched[task] = name, self._sign(task, name, metrics[name.removeprefix("val_")])
        parts = Parts(self.model)
        self._weights = {
            task: [w for layer in parts.by_task[task] for w in layer.weights] for task in self._watched
        }
        self._set_factors()

    def _sign(self, task: str, name: str, metric: Any) -> float:
        """Returns 1 where more is better, and -1 where less is.

        Raises:
            ValueError: If nothing says which.
        """
        mode = self._mode.get(task)
        if mode is None:
            mode = {"up": "max", "down": "min"}.get(direction_of(metric) or "")
        if mode is None:
            raise ValueError(
                f"EarlyStoppingPerTask: '{name}' does not say which way is better; "
                f"give mode={{'{task}': 'max'}} or 'min'."
            )
        return 1.0 if mode == "max" else -1.0

    def _set_factors(self) -> None:
        set_loss_factors(self.model, dict.fromkeys(self.stopped, self._factor))

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._set_factors()  # Also after a backup has brought back which tasks have stopped.

    def on_test_begin(self, logs: Logs = None) -> None:
        self._hold()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._hold()
        logs = logs or {}
        for task, (name, sign) in self._watched.items():
            if task in self.stopped:
                continue
            if name not in logs:
                raise ValueError(
                    f"EarlyStoppingPerTask: '{name}' of task '{task}' is not in the logs of epoch "
                    f"{epoch + 1}. Values of validation take validation_data."
                )
            self._look(task, sign * float(logs[name]), epoch)
        if len(self.stopped) == len(self._watched) == len(self.model.heads):
            self.model.stop_training = True

    def _look(self, task: str, value: float, epoch: int) -> None:
        best = self.best.get(task)
        if math.isfinite(value) and (best is None or value > self._signed(task, best) + self._min_delta):
            self.best[task], self.wait[task] = self._signed(task, value), 0
            if self._factor == 0 and self._restore_best:
                self.best_weights[task] = self._now(task)
            return
        self.wait[task] = self.wait.get(task, 0) + 1
        if self.wait[task] >= self._patience:
            self.stopped[task] = epoch
            if self._factor == 0 and task not in self.best_weights:
                self.best_weights[task] = self._now(task)
            self._hold()

    def _signed(self, task: str, value: float) -> float:
        return self._watched[task][1] * value

    def _now(self, task: str) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(weight)) for weight in self._weights[task]]

    def _hold(self) -> None:
        """Keeps the heads of stopped tasks as they were: what optimizers remember, and decay, move them."""
        if self._factor == 0:
            for task in self.stopped:
                for weight, value in zip(self._weights[task], self.best_weights[task], strict=True):
                    weight.assign(value)

    def on_train_end(self, logs: Logs = None) -> None:
        self._hold()
        set_loss_factors(self.model, {})
