"""Gates and stitches as a picture: how much of each expert each task gets."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras.analysis import gates
from mtlkeras.analysis._pictures import readable_on
from mtlkeras.layers import Gate

HeatMap = tuple[np.ndarray, list[str], str]
"""Numbers, a name for each row, and what the columns are."""


def draw_gates(path: Path, model: Any, x: Any) -> bool:
    """Draws the mean weights of a model's gates as heat maps, and the matrices of its stitches.

    The gates of as many experts share a map, a row each, with the mean entropy as a share of the largest
    beside it: 100% is an even mixture, 0% one expert for every example. Where a row is even but the entropy
    is low, examples go to different experts.

    Args:
        path: Where to write the picture; its ending tells the format.
        model: A `MultiTaskModel`.
        x: A batch of inputs.

    Returns:
        Whether there was something to draw.
    """
    maps = gate_maps(model, x)
    if not maps:
        return False
    _draw(path, maps)
    return True


def gate_maps(model: Any, x: Any) -> list[HeatMap]:
    """Returns what a model's gates and stitches mix, as `draw_gates` draws it; nothing if it has none.

    Args:
        model: A `MultiTaskModel`.
        x: A batch of inputs.
    """
    layers = {layer.name: layer for layer in getattr(getattr(model, "trunk", None), "layers", ())}
    if not any(hasattr(layer, "gate_values") for layer in layers.values()):
        return []
    values = gates(model, x)
    of_gates = {name: found for name, found in values.items() if isinstance(layers[name], Gate)}
    maps = [(*gate_map(group), "expert") for group in _alike(of_gates)]
    for name, found in values.items():
        if name not in of_gates and found.ndim <= 2 and _is_constant(layers[name]):
            matrix = np.atleast_2d(found)
            maps.append((matrix, [f"{name} {row}" for row in range(1, len(matrix) + 1)], "from"))
    return maps


def _is_constant(layer: Any) -> bool:
    """Returns whether the values of a layer are the same for all inputs, of which it then names none."""
    parameters = inspect.signature(layer.gate_values).parameters.values()
    return all(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)


def gate_map(weights_of: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """Returns the mean weights of gates, shape `(gates, experts)`, and the rows' names."""
    names = [f"{name} ({_evenness(weights):.0%} even)" for name, weights in weights_of.items()]
    return np.stack([weights.mean(axis=0) for weights in weights_of.values()]), names


def _evenness(weights: np.ndarray) -> float:
    """Returns the mean entropy of examples' weights as a share of the largest."""
    experts = weights.shape[1]
    entropies = -np.sum(weights * np.log(np.maximum(weights, 1e-30)), axis=1)
    return float(entropies.mean() / math.log(experts)) if experts > 1 else 1.0


def _alike(weights_of: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Returns the gates in groups of as many experts."""
    groups: dict[int, dict[str, np.ndarray]] = {}
    for name, weights in weights_of.items():
        groups.setdefault(weights.shape[1], {})[name] = weights
    return list(groups.values())


def _draw(path: Path, maps: list[HeatMap]) -> None:
    from matplotlib.figure import Figure

    heights = [0.4 * len(names) + 0.9 for _, names, _ in maps]
    width = max(values.shape[1] for values, _, _ in maps)
    figure = Figure(figsize=(3.2 + 0.7 * width, sum(heights)), layout="constrained")
    axes = figure.subplots(len(maps), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axis, (values, names, columns) in zip(axes, maps, strict=True):
        largest = max(1.0, float(np.abs(values).max()))
        lowest = 0.0 if values.min() >= 0 else -largest
        image = axis.imshow(
            values, cmap="Blues" if lowest == 0 else "RdBu", vmin=lowest, vmax=largest, aspect="auto"
        )
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_xticks(range(values.shape[1]), [str(n) for n in range(1, values.shape[1] + 1)], fontsize=8)
        axis.set_xlabel(columns, fontsize=8)
        axis.tick_params(length=0)
        for row, column in np.ndindex(values.shape):
            value = values[row, column]
            colour = readable_on(image.to_rgba(value))
            axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    figure.savefig(path, dpi=120)
