"""How much sets of channels matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._backends import loss_gradients
from mtlkeras._keras_private import all_layers
from mtlkeras._model.labelled_batches import labelled_batches
from mtlkeras.compress._call import MAKES, READS
from mtlkeras.compress._graph import Graph

KINDS = ("taylor", "magnitude", "random")
_STEP, _LEAST_SCALE = 16.0, 2.0**-16
"""In float16, how a scale of losses falls where gradients are not finite, and how far."""


def taylor(graph: Graph, data: Any, batch_size: int) -> np.ndarray:
    """Returns by how much the losses would change without each set of channels, squared, to first order.

    Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, equation 9: the square of the
    gradient by a gate, in the mean over batches. The gates are where channels are read: the gradient by one
    is the sum, over all entries of kernels that the set is multiplied by, of gradient times weight.

    Args:
        graph: The graph of a model.
        data: What to take the losses of.
        batch_size: Examples of a batch, of arrays.

    Returns:
        Float64, at the place of each set's root.

    Raises:
        ValueError: If there is no data, the model is not compiled, or gradients are not finite or all zero.
    """
    model = graph.model
    if data is None:
        raise ValueError(
            "prune_channels: importance='taylor' needs data=, (inputs, labels) or a data set with labels; "
            "importance='magnitude' needs none."
        )
    if not model.compiled:
        raise ValueError(
            "prune_channels: the model is not compiled, so it has no losses for importance='taylor'; call "
            "model.compile(...) first."
        )
    weights = _weights(graph, READS)
    gradients = loss_gradients(model, list(weights.values()))
    total, count = np.zeros(len(graph.channels)), 0
    scale, least = _scales(model)
    for batch in labelled_batches(model, data, "prune_channels", batch_size):
        found = gradients(*batch, scale)
        while scale > least and not all(np.isfinite(gradient).all() for gradient in found):
            scale /= _STEP
            found = gradients(*batch, scale)
        products = {
            key: gradient.astype("float64") / scale * _value(weight)
            for (key, weight), gradient in zip(weights.items(), found, strict=True)
        }
        total += np.square(_sums(graph, READS, products))
        count += 1
    if not count:
        raise ValueError("prune_channels: data= has no batch.")
    if not np.isfinite(total).all():
        raise ValueError("prune_channels: gradients of the losses of data= are not finite.")
    if not total.any():
        raise ValueError("prune_channels: no loss of data= depends on any channel. Has it labels?")
    return total / count


def _scales(model: Any) -> tuple[float, float]:
    """Returns what losses are multiplied by at first, and at least where a type cannot hold gradients."""
    first = float(keras.ops.convert_to_numpy(model.optimizer.scale_loss(np.float32(1.0))))
    in_half = any(layer.compute_dtype == "float16" for layer in all_layers(model))
    return first, min(first, _LEAST_SCALE) if in_half else first


def magnitude(graph: Graph) -> np.ndarray:
    """Returns the L2 norm of the weights that make each set of channels, at the place of its root."""
    squares = {key: np.square(_value(weight)) for key, weight in _weights(graph, MAKES).items()}
    return np.sqrt(_sums(graph, MAKES, squares))


def by_layer(graph: Graph, scores: np.ndarray) -> np.ndarray:
    """Returns scores over the mean of those in their layers, so that layers of other scales are alike."""
    sums, counts = np.zeros(len(scores)), np.zeros(len(scores))
    for layer in graph.makers():
        roots = np.unique(graph.channels.roots(layer.made))
        mean = scores[roots].mean()
        sums[roots] += scores[roots] / mean if mean > 0 else 1.0
        counts[roots] += 1
    return sums / np.maximum(counts, 1)


def _weights(graph: Graph, role: str) -> dict[int, Any]:
    """Returns by id the weights with a role."""
    slices = [part for layer in graph.layers.values() for part in layer.slices if part.role == role]
    return {id(part.weight): part.weight for part in slices}


def _sums(graph: Graph, role: str, values: Mapping[int, np.ndarray]) -> np.ndarray:
    """Returns for each set of channels the sum of the values of the entries that have a role for it."""
    found = np.zeros(len(graph.channels))
    for layer in graph.layers.values():
        for part in layer.slices:
            if part.role == role:
                entries = np.moveaxis(values[id(part.weight)], part.axis, 0)
                roots = graph.channels.roots(part.channels)
                np.add.at(found, roots, entries.reshape(len(entries), -1).sum(1))
    return found


def _value(weight: Any) -> np.ndarray:
    return np.asarray(weight.numpy(), "float64")
