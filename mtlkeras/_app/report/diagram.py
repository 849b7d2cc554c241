"""A picture of a model as boxes: inputs, trunk, heads. It needs matplotlib only."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, NamedTuple

import keras

_WIDTH, _GAP, _LINE = 3.0, 1.1, 0.24
_LINKS = 0.8  # Room at the right for the links between heads.
_FILLS = {"input": "#E8E8E8", "trunk": "#CFE4F2", "head": "#FBE3CC"}


class Box(NamedTuple):
    """A box: what it is, its title, and lines of text."""

    kind: str
    title: str
    lines: list[str]

    @property
    def height(self) -> float:
        return _LINE * (len(self.lines) + 1) + 0.24


class Diagram(NamedTuple):
    """What is drawn of a model, which need not be kept for it.

    Args:
        inputs: A box for each input.
        trunk: The box of what the tasks share.
        heads: A box for each task, by task.
        places: What each head reads, by task.
        chained: The pairs of tasks that depend on each other.
        read: Those of which the second reads the first.
    """

    inputs: list[Box]
    trunk: Box
    heads: dict[str, Box]
    places: dict[str, str | None]
    chained: list[tuple[str, str]]
    read: list[tuple[str, str]]


def diagram_of(model: Any) -> Diagram:
    """Returns what is drawn of a `MultiTaskModel`."""
    heads = dict(zip(model.heads, head_boxes(model), strict=True))
    places = {task: head.at for task, head in model.heads.items()}
    return Diagram(input_boxes(model), trunk_box(model), heads, places, *links(model))


def draw_model(path: Path, model: Any) -> None:
    """Draws a model: its inputs, what its tasks share, and a head per task.

    Args:
        path: Where to write the picture; its ending tells the format.
        model: A `MultiTaskModel`.
    """
    draw_diagram(path, diagram_of(model))


def draw_diagram(path: Path, diagram: Diagram) -> None:
    """Draws what `diagram_of` gave."""
    from matplotlib.figure import Figure

    inputs, heads, trunk = diagram.inputs, list(diagram.heads.values()), diagram.trunk
    height = max(_stack(inputs), trunk.height, _stack(heads))
    width = 3 * _WIDTH + 2 * _GAP + (_LINKS if diagram.chained or diagram.read else 0.0)
    figure = Figure(figsize=(width + 0.4, height + 0.4))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_xlim(-0.2, width + 0.2)
    axis.set_ylim(-0.2, height + 0.2)
    axis.axis("off")
    middle = height / 2
    x_trunk, x_heads = _WIDTH + _GAP, 2 * (_WIDTH + _GAP)
    _box(axis, trunk, x_trunk, middle)
    for box, y in _column(inputs, middle):
        _box(axis, box, 0, y)
        _arrow(axis, (_WIDTH, y), (x_trunk, middle))
    for (box, y), place in zip(_column(heads, middle), diagram.places.values(), strict=True):
        _box(axis, box, x_heads, y)
        _arrow(axis, (x_trunk + _WIDTH, middle), (x_heads, y), place)
    rows = {task: y for task, (_, y) in zip(diagram.heads, _column(heads, middle), strict=True)}
    for pairs, style in ((diagram.chained, "-"), (diagram.read, "-|>")):
        for one, other in pairs:
            _link(axis, x_heads + _WIDTH, rows[one], rows[other], style)
    figure.savefig(path, dpi=150, facecolor="white")


def links(model: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns the pairs of tasks that depend on each other, and those of which one reads the other."""
    chained = [] if model.dependence is None else list(model.dependence.links)
    return chained, [(other, task) for task, head in model.heads.items() for other in head.after]


def input_boxes(model: Any) -> list[Box]:
    """Returns a box for each input; many inputs share one."""
    inputs = keras.tree.flatten(model.input)
    if len(inputs) > 6:
        return [Box("input", f"{len(inputs)} inputs", _wrapped(", ".join(x.name for x in inputs)))]
    return [Box("input", x.name, [f"{_shape(x)} {x.dtype}"]) for x in inputs]


def trunk_box(model: Any) -> Box:
    """Returns the box of what the tasks share, with its specs and number of weights."""
    trunk = getattr(model, "trunk", None)
    if trunk is None:
        own = f"{len(model.layers) - len(keras.tree.flatten(model.input))} layers"
        return Box("trunk", "no shared trunk", [own, f"{model.count_params():,} weights"])
    carriers = [layer for layer in trunk.layers if hasattr(layer, "trunk")]
    if not carriers:
        what = [f"{len(trunk.layers)} layers"]
    else:
        sharing = carriers[0].sharing
        what = [*(_wrapped(repr(sharing)) if sharing else ()), *_wrapped(repr(carriers[0].trunk))]
    outputs = keras.tree.flatten(trunk.output)
    return Box(
        "trunk", "shared trunk", [*what, f"{trunk.count_params():,} weights", *map(_shape, outputs[:3])]
    )


def head_boxes(model: Any) -> list[Box]:
    """Returns a box for each task, with its head and output shape."""
    return [
        Box("head", task, [*_wrapped(_head_text(head)), _shape(model.output[task])])
        for task, head in model.heads.items()
    ]


def _head_text(head: Any) -> str:
    hidden = "".join(f"{units} → " for units in head.hidden)
    weight = "" if head.loss_weight == 1 else f", weight {head.loss_weight:g}"
    return f"{hidden}{type(head).__name__} ({head.units}){weight}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 34, max_lines=6, placeholder=" ...") or [""]


def _shape(tensor: Any) -> str:
    return "batch" + "".join(f" × {'?' if n is None else n}" for n in tensor.shape[1:])


def _stack(boxes: list[Box]) -> float:
    return sum(box.height for box in boxes) + 0.25 * (len(boxes) - 1)


def _column(boxes: list[Box], middle: float) -> list[tuple[Box, float]]:
    """Returns the boxes with their middles, stacked from the top."""
    top, placed = middle + _stack(boxes) / 2, []
    for box in boxes:
        placed.append((box, top - box.height / 2))
        top -= box.height + 0.25
    return placed


def _box(axis: Any, box: Box, x: float, y: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (x, y - box.height / 2)
    shape: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.08",
        "facecolor": _FILLS[box.kind],
        "edgecolor": "0.35",
    }
    axis.add_patch(FancyBboxPatch(corner, _WIDTH, box.height, **shape))
    top = y + box.height / 2 - 0.12 - _LINE / 2
    axis.text(x + 0.12, top, box.title, va="center", fontsize=10, fontweight="bold")
    for i, line in enumerate(box.lines, 1):
        axis.text(x + 0.12, top - i * _LINE, line, va="center", fontsize=8.5)


def _arrow(axis: Any, start: tuple[float, float], end: tuple[float, float], label: str | None = None) -> None:
    axis.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0}
    )
    if label:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        axis.text(x, y, label, fontsize=7, ha="center", va="center", backgroundcolor="white")


def _link(axis: Any, x: float, start: float, end: float, style: str) -> None:
    """Draws a bow at the right of two heads."""
    bend = min(0.5, 1.8 * _LINKS / abs(start - end)) * (-1 if start > end else 1)
    shape = {"arrowstyle": style, "color": "#B5651D", "connectionstyle": f"arc3,rad={bend}", "lw": 1.5}
    axis.annotate("", (x, end), (x, start), arrowprops={**shape, "shrinkA": 2, "shrinkB": 2})
