"""Stopping when the loss is no number any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtlkeras._types import Logs, PathLike

_ADVICE = "A lower learning rate, gradient clipping or a look at the labels may help."


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends a training with an error when the loss becomes NaN or infinite.

    Unlike `keras.callbacks.TerminateOnNaN` it names the tasks whose loss it was, and leaves no
    result that could be taken for a good one. With `model.skip_non_finite = True` such steps are
    undone and counted as `skipped_steps`; then the training ends when all of an epoch were.

    At the end of an epoch the weights are looked at too: TensorFlow fuses a dense layer with its
    ReLU on CPUs, and the fused one turns NaN into zero, so that the loss stays finite while
    the weights are lost.

    Args:
        checkpoint: Where the last good state is, for the message.

    Raises:
        FloatingPointError: After the first batch without a finite loss or balancer's weight; it
            names the tasks, the epoch and the step. After an epoch whose steps were all undone, or
            that left weights of NaN or infinity; it names their layer.

    Example:

    ```python
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model.compile("adam")
    watch = mtlkeras.training.StopOnNonFinite()
    model.fit(np.ones((9, 4)), {"y": np.arange(9.0)}, callbacks=[watch], verbose=0)
    ```
    """

    def __init__(self, checkpoint: PathLike | None = None) -> None:
        super().__init__()
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        self._epoch = self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        if 0 < self._steps <= (logs or {}).get("skipped_steps", 0):
            raise FloatingPointError(
                f"All {self._steps} steps of epoch {epoch + 1} gave NaN or infinity and were skipped. "
                f"{_ADVICE}{self._last()}"
            )
        for variable in self.model.trainable_variables:
            if not np.isfinite(keras.ops.convert_to_numpy(variable.value).astype("float32")).all():
                raise FloatingPointError(
                    f"The weights {variable.path} are NaN or infinite after epoch {epoch + 1}, though the "
                    f"loss is not. A look at the inputs may help (--check-inputs). {_ADVICE}{self._last()}"
                )

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._steps = batch + 1
        logs = logs or {}
        self._check_loss(batch, logs)
        self._check_weights(batch, logs)

    def _check_loss(self, batch: int, logs: Mapping[str, Any]) -> None:
        if math.isfinite(logs.get("loss", 0.0)):
            return
        tasks = [task for task in self.model.heads if not math.isfinite(logs.get(f"{task}_loss", 0.0))]
        what = f"loss of task {' and '.join(map(repr, tasks))}" if tasks else "regularisation loss"
        raise FloatingPointError(
            f"The {what} is NaN or infinite after step {batch + 1} of epoch {self._epoch + 1}. "
            f"{_ADVICE}{self._last()}"
        )

    def _check_weights(self, batch: int, logs: Mapping[str, Any]) -> None:
        tasks = [task for task in self.model.heads if not math.isfinite(logs.get(f"{task}_weight", 0.0))]
        if tasks:
            raise FloatingPointError(
                f"The balancer's weight of task {' and '.join(map(repr, tasks))} is NaN or infinite after "
                f"step {batch + 1} of epoch {self._epoch + 1}. {_ADVICE}{self._last()}"
            )

    def _last(self) -> str:
        if self._checkpoint is None or not self._checkpoint.exists():
            return ""
        return f" The state before is in {self._checkpoint}."
