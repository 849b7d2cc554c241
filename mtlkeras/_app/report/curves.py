"""The training curves as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtlkeras._app.report.tables import ALL_TASKS, OF_GRADIENTS, by_task
from mtlkeras.analysis._pictures import COLOURS


def draw_curves(
    path: Path, history: Mapping[str, Sequence[float]], tasks: Sequence[str], best_epoch: int | None = None
) -> None:
    """Draws loss and metrics of each task over the epochs.

    Dotted lines are the training split, full lines the validation split; a vertical line
    marks the best epoch.

    Args:
        path: Where to write the picture; its ending tells the format.
        history: Values per epoch, as `fit` gives them.
        tasks: The tasks, one row of the picture each; the last row is the joint loss.
        best_epoch: Number of the best epoch, from 1.
    """
    from matplotlib.figure import Figure

    drawn = [n for n in history if not n.startswith("val_") and not n.endswith(OF_GRADIENTS)]
    values = by_task(dict.fromkeys(drawn, 0.0), tasks)
    figure = Figure(figsize=(10, 2.6 * len(values)), layout="constrained")
    axes = figure.subplots(len(values), 2, squeeze=False)
    for row, (task, metrics) in zip(axes, values.items(), strict=True):
        prefix = f"{task}_" if task else ""
        for axis, names in zip(row, (["loss"], [m for m in metrics if m != "loss"]), strict=True):
            _draw(axis, history, prefix, names, best_epoch)
            axis.set_title(f"{task or ALL_TASKS}: {', '.join(names)}", loc="left", fontsize=10)
            axis.set_visible(bool(names))
    figure.savefig(path, dpi=120)


def _draw(axis: Any, history: Mapping[str, Any], prefix: str, names: Sequence[str], best: int | None) -> None:
    for colour, name in zip(COLOURS * (1 + len(names) // len(COLOURS)), names, strict=False):
        for full, style, label in ((f"{prefix}{name}", ":", "train"), (f"val_{prefix}{name}", "-", "valid")):
            if full in history:
                epochs = range(1, len(history[full]) + 1)
                text = label if len(names) == 1 else f"{name}, {label}"
                axis.plot(
                    epochs,
                    history[full],
                    style,
                    color=colour,
                    label=text,
                    marker="." if len(epochs) < 3 else None,
                )
    if names:
        if best:
            axis.axvline(best, color="0.7", linewidth=1, zorder=0)
        axis.set_xlabel("epoch", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
