"""Gradients of tasks, looked at while a model trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtlkeras.analysis.gradients import GradientProbe, TaskGradients


class GradientCosines(keras.callbacks.Callback):
    """Looks in training at whether the tasks' gradients agree, on one and the same batch.

    In the logs of each epoch are `<task>_<task>_cosine`, over all shared layers; `history` has all there is.

    Args:
        data: The batch, as `gradient_cosines` takes it; of the validation split, or of some training rows.
        every: Steps between two looks, or `"epoch"` for one behind each epoch. A look costs a forward pass
            and a backward pass for each task.

    Raises:
        ValueError: If `every` is neither; at the begin of `fit`, as `gradient_cosines`.

    Example:

    ```python
    heads = {"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam")
    x, y = np.random.rand(64, 8), {"a": np.random.rand(64), "b": np.random.rand(64)}
    watch = mtlkeras.analysis.GradientCosines((x[:32], {task: labels[:32] for task, labels in y.items()}))
    model.fit(x, y, epochs=2, callbacks=[watch], verbose=0)
    watch.history[1].cosines["all"]
    ```
    """

    def __init__(self, data: Any, every: int | str = "epoch") -> None:
        super().__init__()
        if every != "epoch" and not (isinstance(every, (int, np.integer)) and every >= 1):
            raise ValueError(
                f"GradientCosines: every must be 'epoch' or a number of steps; received {every!r}."
            )
        self.data, self.every = data, every if isinstance(every, str) else int(every)
        self.history: list[TaskGradients] = []
        """What was seen, look by look."""
        self.steps: list[int] = []
        """After how many steps of this fit each look was."""
        self._probe: GradientProbe | None = None
        self._step = 0

    def on_train_begin(self, logs: Any = None) -> None:
        if self._probe is None or self._probe.model is not self.model:
            self._probe = GradientProbe(self.model, self.data)
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step += 1
        if not isinstance(self.every, str) and self._step % self.every == 0:
            self._look()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.every == "epoch":
            self._look()
        if logs is not None and self.history:
            last = self.history[-1]
            for i, one in enumerate(last.tasks):
                for k, other in enumerate(last.tasks[:i]):
                    logs[f"{other}_{one}_cosine"] = float(last.cosines["all"][i, k])

    def _look(self) -> None:
        assert self._probe is not None
        self.history.append(self._probe.look())
        self.steps.append(self._step)

    def frame(self) -> list[dict[str, Any]]:
        """Returns a row for each look, part and pair of tasks: step, part, tasks and cosine."""
        return [
            {"step": step, "part": part, "task": one, "other": other, "cosine": float(matrix[i, k])}
            for step, seen in zip(self.steps, self.history, strict=True)
            for part, matrix in seen.cosines.items()
            for i, one in enumerate(seen.tasks)
            for k, other in enumerate(seen.tasks[:i])
        ]

    def plot(self, path: str | Path | None = None, part: str = "all") -> Any:
        """Draws the cosines of all pairs over the steps; returns the figure, and writes it where told."""
        if not self.history:
            raise ValueError("GradientCosines.plot: nothing was looked at yet: pass it to fit first.")
        from matplotlib.figure import Figure

        tasks = self.history[0].tasks
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for i, one in enumerate(tasks):
            for k, other in enumerate(tasks[:i]):
                values = [seen.cosines[part][i, k] for seen in self.history]
                axes.plot(self.steps, values, label=f"{other}, {one}")
        axes.axhline(0.0, color="grey", linewidth=0.8)
        axes.set(
            title=f"Cosines of the tasks' gradients: {part}",
            xlabel="step",
            ylabel="cosine",
            ylim=(-1.05, 1.05),
        )
        axes.legend(fontsize="small")
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure
