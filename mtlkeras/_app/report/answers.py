"""Pictures of answers for every pixel: the input, what is there, and what the model says."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from mtlkeras._model.label_arrays import label_array
from mtlkeras.heads._dense import DenseHead

_ROWS = 4
_BATCHES = 50
_CHANNELS = 3


class Panel(NamedTuple):
    """One answer for every pixel: its name, labels and answers `(rows, height, width)`, and the colours."""

    name: str
    truth: np.ndarray
    answer: np.ndarray
    colours: dict[str, Any]


def draw_answers(path: Path, model: Any, x: Any, y: Mapping[str, Any]) -> str | None:
    """Draws some pictures with labels and answers of the heads that have one for each pixel.

    Of a batch those examples are taken that have the most labels. Pixels without a label are grey.

    Args:
        path: Where to write the picture; its ending tells the format.
        model: A `MultiTaskModel`.
        x: A batch of inputs.
        y: Its labels by task.

    Returns:
        What the picture shows, for those who do not see it; `None` if there was nothing to draw.
    """
    found = answer_panels(model, x, y)
    if found is None:
        return None
    pictures, panels = found
    draw_panels(path, pictures, panels)
    return _described(len(pictures), panels)


def batch_with_labels(model: Any, batches: Iterable[Any]) -> Any:
    """Returns the first of some batches in which a pixel has a label, or simply the first; `None` for none.

    Where few pictures have masks the first batch may be without.
    """
    first = None
    for batch in itertools.islice(batches, _BATCHES):
        first = batch if first is None else first
        y = batch[1]
        heads = [(t, head) for t, head in model.heads.items() if isinstance(head, DenseHead) and t in y]
        if not heads:
            break
        if any(np.isfinite(_with_gaps(label_array(t, head, np.asarray(y[t])))).any() for t, head in heads):
            return batch
    return first


def answer_panels(model: Any, x: Any, y: Mapping[str, Any]) -> tuple[np.ndarray, list[Panel]] | None:
    """Returns some pictures, grey or RGB from 0 to 1, and what heads answer for their pixels.

    Args:
        model: A `MultiTaskModel`.
        x: A batch of inputs.
        y: Its labels by task.

    Returns:
        `None` if no head has an answer for each pixel.
    """
    heads = {t: head for t, head in model.heads.items() if isinstance(head, DenseHead) and t in y}
    pictures = next((np.asarray(a) for a in keras.tree.flatten(x) if len(np.shape(a)) == 4), None)
    if not heads or pictures is None or not len(pictures):
        return None
    labels = {t: _with_gaps(label_array(t, head, np.asarray(y[t]))) for t, head in heads.items()}
    known = sum(np.isfinite(a).reshape(len(a), -1).mean(1) for a in labels.values())
    rows = np.sort(np.argsort(-known, kind="stable")[:_ROWS])
    answers = model.predict_labels(keras.tree.map_structure(lambda a: np.asarray(a)[rows], x), verbose=0)
    panels = [
        panel
        for task, head in heads.items()
        for panel in _panels(task, head, labels[task][rows], _numbers(head, answers[task]))
    ]
    return _shown(pictures[rows]), panels


def _with_gaps(labels: np.ndarray) -> np.ndarray:
    """Returns labels as floats, with NaN where there is none."""
    if labels.dtype.kind == "f":
        return labels
    return np.where(labels < 0, np.nan, labels.astype("float32"))


def _numbers(head: DenseHead, answers: np.ndarray) -> np.ndarray:
    """Returns answers with class indices in place of names."""
    if head.names is None:
        return answers
    return np.argmax([answers == name for name in head.names], axis=0)


def _panels(task: str, head: DenseHead, truth: np.ndarray, answer: np.ndarray) -> list[Panel]:
    """Returns a panel for each class map, mask or number of a head."""
    if not head.scores_are_labels:
        largest, cmap = max(9, head.units - 1), "tab10" if head.units <= 10 else "tab20"
        classes = {"cmap": cmap, "vmin": 0, "vmax": largest, "interpolation": "nearest"}
        return [Panel(task, truth, answer, classes)]
    names = getattr(head, "class_names", None) or range(head.units)
    found = []
    for i, name in enumerate(list(names)[:_CHANNELS]):
        values = truth[..., i]
        colours: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": 1}
        if head.label_form.are_numbers and np.isfinite(values).any():
            colours |= {"vmin": float(np.nanmin(values)), "vmax": float(np.nanmax(values))}
        title = task if head.units == 1 else f"{task}: {name}"
        found.append(Panel(title, values, answer[..., i], colours))
    return found


def _shown(pictures: np.ndarray) -> np.ndarray:
    """Returns pictures as grey or RGB from 0 to 1."""
    pictures = pictures[..., :1] if pictures.shape[-1] < 3 else pictures[..., :3]
    values = pictures.astype("float32")
    if pictures.dtype == np.uint8:
        return values / 255
    lowest, highest = values.min((1, 2, 3), keepdims=True), values.max((1, 2, 3), keepdims=True)
    return (values - lowest) / np.maximum(highest - lowest, 1e-9)


def draw_panels(path: Path, pictures: np.ndarray, panels: Sequence[Panel]) -> None:
    """Draws pictures, one a row, and beside each what is there and what the model says."""
    from matplotlib.figure import Figure

    columns = 1 + 2 * len(panels)
    figure = Figure(figsize=(1.7 * columns, 1.7 * len(pictures) + 0.6), layout="constrained")
    figure.suptitle("Answers for every pixel", x=0.01, ha="left", fontsize=10)
    axes = figure.subplots(len(pictures), columns, squeeze=False)
    for row, picture in enumerate(pictures):
        axes[row, 0].imshow(
            picture[..., 0] if picture.shape[-1] == 1 else picture, cmap="gray", vmin=0, vmax=1
        )
        for i, panel in enumerate(panels):
            for axis, values in zip(axes[row, 1 + 2 * i :], (panel.truth, panel.answer), strict=False):
                axis.set_facecolor("0.6")  # What has no label shows it.
                axis.imshow(np.ma.masked_invalid(values[row]), **panel.colours)
    titles = ["input", *(f"{panel.name}, {what}" for panel in panels for what in ("truth", "answer"))]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.savefig(path, dpi=120)


def _described(rows: int, panels: list[Panel]) -> str:
    found = []
    for panel in panels:
        known = np.isfinite(panel.truth)
        truth, answer = panel.truth[known], panel.answer[known]
        if not known.any():
            found.append(f"{panel.name} (no label)")
        elif panel.answer.dtype.kind == "f":
            found.append(f"{panel.name} (mean error {np.abs(truth - answer).mean():.3g})")
        else:
            found.append(f"{panel.name} ({(truth == answer).mean():.0%} of the pixels right)")
    one = "One picture" if rows == 1 else f"{rows} pictures"
    return f"{one} of the validation split, one a row: the input, then truth and answer of {', '.join(found)}"
