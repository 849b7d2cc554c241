"""Gradients of tasks, looked at while a model trains."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._types import PathLike
from mtlkeras.analysis._pictures import COLOURS, Table, finished, name_axes, new_figure
from mtlkeras.analysis.gradients import GradientProbe, TaskGradients


class GradientCosines(keras.callbacks.Callback):
    """Looks in training at whether the tasks' gradients agree, on one and the same batch.

    In the logs of each epoch are, over all shared layers, `<task>_<task>_cosine`, and
    `<task>_gradient_share`, the share of the task's gradient in the sum of the norms; `history` has all.

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
        """After how many steps each look was; those of a further fit of the model are counted on."""
        self._probe: GradientProbe | None = None
        self._step = 0

    def on_train_begin(self, logs: Any = None) -> None:
        if self._probe is None or self._probe.model is not self.model:
            self._probe = GradientProbe(self.model, self.data)
            self.history, self.steps, self._step = [], [], 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._step += 1
        if not isinstance(self.every, str) and self._step % self.every == 0:
            self._look()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.every == "epoch":
            self._look()
        if logs is not None and self.history:
            seen = self.history[-1].cosines["all"]
            logs.update({f"{one}_{other}_cosine": seen[one, other] for one, other in _pairs(seen.names)})
            shares = self.history[-1].shares
            logs.update({f"{task}_gradient_share": share for task, share in shares.items()})

    def _look(self) -> None:
        assert self._probe is not None
        self.history.append(self._probe.look())
        self.steps.append(self._step)

    def frame(self) -> Table:
        """Returns columns of all looks: step, part, two tasks, and the cosine of their gradients."""
        rows = [
            (step, part, one, other, matrix[one, other])
            for step, seen in zip(self.steps, self.history, strict=True)
            for part, matrix in seen.cosines.items()
            for one, other in _pairs(seen.tasks)
        ]
        names = ("step", "part", "task", "other", "cosine")
        return {name: [row[i] for row in rows] for i, name in enumerate(names)}

    def plot(self, path: PathLike | None = None, part: str = "all") -> Any:
        """Draws the cosines of all pairs over the steps; returns the `matplotlib` figure.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.
            part: The part of the shared layers, such as a stage.

        Raises:
            ValueError: If nothing was looked at yet, or there is no such part.
            ImportError: If matplotlib is not installed.
        """
        if not self.history:
            raise ValueError("GradientCosines.plot: nothing was looked at yet: pass it to fit first.")
        if part not in self.history[0].cosines:
            raise unknown_name("part", part, self.history[0].cosines, "part= of GradientCosines.plot")
        figure = new_figure(6.4, 3.6)
        axis = figure.subplots()
        for number, (one, other) in enumerate(_pairs(self.history[0].tasks)):
            values = [seen.cosines[part][one, other] for seen in self.history]
            axis.plot(self.steps, values, label=f"{one}, {other}", color=COLOURS[number % len(COLOURS)])
        axis.axhline(0.0, color="grey", linewidth=0.8)
        axis.set_ylim(-1.05, 1.05)
        name_axes(axis, f"Cosines of gradients: {part}", "step", "cosine")
        axis.legend(fontsize=8)
        return finished(figure, path)


def _pairs(tasks: Sequence[str]) -> Iterator[tuple[str, str]]:
    return itertools.combinations(tasks, 2)
