"""How much sets of channels matter."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtlkeras._backends import loss_gradients
from mtlkeras.compress._batches import batches
from mtlkeras.compress._graph import Graph

KINDS = ("taylor", "magnitude", "random")


def importance(graph: Graph, kind: str, data: Any, batch_size: int, seed: int) -> np.ndarray:
    """Returns the importance of each set of channels, float64, at the place of its root.

    Args:
        graph: The graph of a model.
        kind: One of `KINDS`.
        data: What to take the losses of, for `"taylor"`.
        batch_size: Examples of a batch.
        seed: Of `"random"`.

    Raises:
        ValueError: If there is no data, the model is not compiled, or gradients are not finite.
    """
    if kind == "random":
        return np.random.default_rng(seed).random(len(graph.channels))
    slices = [part for layer in graph.layers.values() for part in layer.slices if part.own]
    weights = list({id(part.weight): part.weight for part in slices}.values())
    if kind == "taylor":
        energies = _taylor(graph.model, weights, data, batch_size)
    else:
        energies = {id(weight): np.square(_value(weight)) for weight in weights}
    found = np.zeros(len(graph.channels))
    for part in slices:
        energy = np.moveaxis(energies[id(part.weight)], part.axis, 0)
        np.add.at(found, graph.channels.roots(part.channels), energy.reshape(len(energy), -1).sum(1))
    return found if kind == "taylor" else np.sqrt(found)


def _taylor(model: Any, weights: list[Any], data: Any, batch_size: int) -> dict[int, np.ndarray]:
    """Returns for each entry of each weight the mean over the batches of (gradient x weight)^2.

    Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, equation 8.
    """
    if data is None:
        raise ValueError(
            "prune_channels: importance='taylor' needs data=, (inputs, labels) or a data set with labels; "
            "importance='magnitude' needs none."
        )
    if not model.compiled:
        raise ValueError(
            f"prune_channels: the model '{model.name}' is not compiled, so it has no losses for "
            "importance='taylor'; call model.compile(...) first."
        )
    gradients = loss_gradients(model, weights)
    values = [_value(weight) for weight in weights]
    sums, count = [np.zeros(value.shape) for value in values], 0
    for batch in batches(model, data, batch_size, "prune_channels"):
        count += 1
        for total, gradient, value in zip(sums, gradients(*batch), values, strict=True):
            total += np.square(gradient.astype("float64") * value)
    if not count:
        raise ValueError("prune_channels: data= has no batch.")
    if not all(np.isfinite(total).all() for total in sums):
        raise ValueError("prune_channels: gradients of the losses of data= are not finite.")
    return {id(weight): total / count for weight, total in zip(weights, sums, strict=True)}


def _value(weight: Any) -> np.ndarray:
    return np.asarray(weight.numpy(), "float64")
