"""Stopping when the loss is no number any more."""

from __future__ import annotations

import math
from typing import Any

import keras


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends a training with an error when the loss becomes NaN or infinite.

    Unlike `keras.callbacks.TerminateOnNaN` it names the tasks whose loss it was, and leaves no
    result that could be taken for a good one.

    Args:
        checkpoint: Where the last good state is, for the message.

    Raises:
        FloatingPointError: After the first batch without a finite loss; it names the tasks, the
            epoch and the step.

    Example:

    ```python
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model.compile("adam")
    watch = mtlkeras.training.StopOnNonFinite()
    model.fit(np.ones((9, 4)), {"y": np.arange(9.0)}, callbacks=[watch], verbose=0)
    ```
    """

    def __init__(self, checkpoint: Any = None) -> None:
        super().__init__()
        self._checkpoint = checkpoint
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        logs = logs or {}
        if math.isfinite(logs.get("loss", 0.0)):
            return
        tasks = [task for task in self.model.heads if not math.isfinite(logs.get(f"{task}_loss", 0.0))]
        what = f"loss of task {' and '.join(map(repr, tasks))}" if tasks else "regularisation loss"
        last = (
            f" The state before is in {self._checkpoint}."
            if self._checkpoint is not None and self._checkpoint.exists()
            else ""
        )
        raise FloatingPointError(
            f"The {what} is NaN or infinite after step {batch + 1} of epoch {self._epoch + 1}. "
            f"A lower learning rate, gradient clipping or a look at the labels may help.{last}"
        )
