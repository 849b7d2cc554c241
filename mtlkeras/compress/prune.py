"""Channels removed from a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import frozen, whole_number
from mtlkeras._keras_private import functional_within
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._types import Data
from mtlkeras.compress._call import Kept
from mtlkeras.compress._checks import check_model, check_weights, names_of, shown
from mtlkeras.compress._graph import Graph, kept_of
from mtlkeras.compress._importance import KINDS, by_layer, magnitude, taylor
from mtlkeras.compress._named import HEADS, layers_of, named_layers
from mtlkeras.compress._rebuild import rebuilt
from mtlkeras.compress._selection import Candidates, Size, fewest
from mtlkeras.compress._target import MILLISECONDS, target_of
from mtlkeras.compress._timing import check_batch, largest_within, latencies
from mtlkeras.layers import TaskOutput

KEPT = "it is in keep="
_ROUNDS = 20
"""Predictions that a time is the median of."""


def prune_channels(
    model: MultiTaskModel,
    data: Any = None,
    flops: float | None = None,
    *,
    weights: float | None = None,
    milliseconds: float | None = None,
    x: Data | None = None,
    importance: str = "taylor",
    keep: Sequence[str] = (HEADS,),
    round_to: int = 1,
    most: float = 0.9,
    batch_size: int = 32,
    seed: int = 0,
) -> MultiTaskModel:
    """Returns a smaller model of the same tasks, without the channels that matter least to all of them.

    The channels of dense, convolutional, recurrent and embedding layers and the heads of attention are found
    together with what goes with them: those that residual sums, products, groups and normalisation tie, and
    the entries of every kernel that reads them. What is left is a plain model of the same layers, names and
    heads: it saves, exports, trains and can be pruned again. Its outputs are those of the model with the
    removed channels zero for all that reads them. It is compiled as the model is, its optimizer begun anew.

    Channels stay that reach a layer which computes over all of them, such as layer normalisation or
    self-attention: `prunable` says which and why. Channels of a group of a group normalisation go together.

    Args:
        model: The model, which stays as it is.
        data: For `importance="taylor"`: `(inputs, labels)`, perhaps with sample weights, or a data set of
            batches; some hundred examples do. Labels may be missing.
        flops: The operations that the model is to have left as a share of those it has, 0.5 if `weights` is
            not given; counted by `flops_by_layer`.
        weights: The weights that it is to have left as a share, instead.
        milliseconds: Instead, the time that a prediction of `x` is to take at most: the median of 20 calls of
            `predict_on_batch` on this machine. About five models are built and timed, to find the largest
            that does; channels go in the order that they do for `flops`, or for `weights` where operations
            cannot be counted.
        x: The batch of inputs as arrays that `milliseconds` is for.
        importance: What tells which channels of all layers go first: with `"taylor"` those whose removal
            changes the joint loss least for what it saves: to first order, squared, in the mean over
            batches (Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, eq. 9, with
            gates where channels are read), over the operations or weights saved; with `"magnitude"` those
            with the least L2 norm of the weights that make them, over the mean of their layer (Li et al.
            2017, Pruning Filters for Efficient ConvNets); or `"random"` ones.
        keep: What loses no channels: names of layers or tasks, `"heads"` for all heads or `"trunk"`. Heads
            always lose those entries of their kernels that read what the trunk gives no longer.
        round_to: A number that the channels left in each layer are a multiple of, as far as it has so many.
        most: The largest share of its channels that a layer may lose; it keeps one at least.
        batch_size: Examples of a batch, of arrays.
        seed: Of `"random"`.

    Raises:
        ValueError: If the target cannot be met (says what could be) or is met already, if no channel can be
            removed (says why), if there is no data or the model is not compiled for `"taylor"`, or an
            argument does not fit.

    Example:

    ```python
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(width=64), {"y": mtlkeras.heads.Regression()})
    model.compile("adam")
    data = np.random.normal(size=(32, 4)), {"y": np.arange(32.0)}
    smaller = mtlkeras.compress.prune_channels(model, data, flops=0.5)
    smaller.fit(*data, verbose=0)
    ```
    """
    check_model(model, "prune_channels")
    by, wanted = target_of(flops, weights, milliseconds, x)
    if x is not None:
        check_batch(model, x, "prune_channels")
    if importance not in KINDS:
        raise unknown_name("importance", importance, KINDS, "prune_channels")
    whole_number("prune_channels", "round_to", round_to)
    most = frozen(most)
    if not isinstance(most, (int, float)) or not 0 < most < 1:
        raise ValueError(f"prune_channels: most must be between 0 and 1; received {most!r}.")
    if batch_size is not None:
        whole_number("prune_channels", "batch_size", batch_size)
    whole_number("prune_channels", "seed", seed, lowest=0)
    keep = names_of(keep, "keep", "prune_channels")
    graph = _graph_keeping(model, keep)
    check_weights(named_layers(model), "prune_channels")
    size = Size(graph, by) if by != MILLISECONDS else _countable(graph)
    if importance == "taylor":
        scores = taylor(graph, data, batch_size) / np.maximum(size.savings(), 1e-9)
    elif importance == "magnitude":
        scores = by_layer(graph, magnitude(graph))
    else:
        scores = np.random.default_rng(seed).random(len(graph.channels))
    candidates = Candidates(graph, scores, round_to, most)
    if not candidates.order:
        raise ValueError(f"prune_channels: no channel can be removed.{_reasons(graph)}")
    if by == MILLISECONDS:
        found, reached = _fast_enough(graph, candidates, size, wanted, x)
    else:
        found, reached = _small_enough(graph, candidates, size, wanted)
    if found is None:
        raise ValueError(
            f"prune_channels: {by}={wanted:g} cannot be met: {reached:.3f} can, with keep={keep!r}, "
            f"most={most:g} and round_to={round_to}.{_reasons(graph)}"
        )
    return found


def _small_enough(
    graph: Graph, candidates: Candidates, size: Size, share: float
) -> tuple[MultiTaskModel | None, float]:
    """Returns the model with a share of its size left at most, if there can be one, and its share."""
    full = size.without(())
    removed = fewest(candidates, size.without, share * full)
    reached = size.without(removed) / full
    return (without(graph, removed) if reached <= share else None), reached


def _fast_enough(
    graph: Graph, candidates: Candidates, size: Size, milliseconds: float, x: Any
) -> tuple[MultiTaskModel | None, float]:
    """Returns the largest model that predicts `x` in a time, if there is one, and its time."""
    (whole,) = latencies([graph.model], x, _ROUNDS)
    if whole <= milliseconds:
        raise ValueError(
            f"prune_channels: milliseconds={milliseconds:g} needs no channels removed: the model takes "
            f"{whole:.3f}."
        )
    full = size.without(())

    def build(share: float) -> Any:
        return without(graph, fewest(candidates, size.without, share * full))

    least = size.without(candidates.first(len(candidates.order))) / full
    return largest_within(build, least, milliseconds, lambda model: latencies([model], x, _ROUNDS)[0])


def _countable(graph: Graph) -> Size:
    """Returns the size of a model in operations, or in weights where they cannot be counted."""
    try:
        return Size(graph, "flops")
    except ValueError:
        return Size(graph, "weights")


def prunable(model: MultiTaskModel, keep: Sequence[str] = (HEADS,)) -> dict[str, int | str]:
    """Returns which channels of a model can be removed.

    Args:
        model: A `MultiTaskModel`.
        keep: As for `prune_channels`.

    Returns:
        By the name of each layer that makes channels, how many of them can be removed; or if none, why.

    Raises:
        ValueError: If `keep` names what the model has not.

    Example:

    ```python
    trunk = mtlkeras.trunks.MLP(depth=2, width=8)
    model = mtlkeras.build_model((4,), trunk, {"y": mtlkeras.heads.Regression()})
    mtlkeras.compress.prunable(model, keep=("heads", "hidden_1"))
    # {'hidden_1': "it is in keep=", 'hidden_2': 8, 'y_logits': 'it is in keep='}
    ```
    """
    check_model(model, "prunable")
    graph = _graph_keeping(model, names_of(keep, "keep", "prunable"))
    found: dict[str, int | str] = {}
    for layer in graph.makers():
        reasons = graph.reasons(layer)
        free = reasons.count(None)
        found[layer.layer.name] = free or next(reason for reason in reasons if reason is not None)
    return found


def without(graph: Graph, removed: set[int]) -> Any:
    """Returns the model of a graph without some sets of channels, given by their roots."""
    kept = kept_of(graph.channels, removed)

    def edit(model: Any, config: dict[str, Any]) -> None:
        layers = {operation.name: operation for operation in functional_within(model).operations}
        for entry in config["layers"]:
            known = graph.layers.get(id(layers.get(entry["config"]["name"])))
            for change in known.edits if known is not None else ():
                change(entry["config"], kept)

    return rebuilt(graph.model, edit, lambda layer: _values(graph, layer, kept))


def _values(graph: Graph, layer: Any, kept: Kept) -> list[np.ndarray]:
    """Returns the weights of a layer without the entries of channels that go."""
    known = graph.layers.get(id(layer))
    found = []
    for weight in layer.weights:
        value = np.asarray(weight.numpy())
        for part in known.slices if known is not None else ():
            if part.weight is weight:
                value = np.compress(kept(part.channels), value, axis=part.axis)
        found.append(value)
    return found


def _graph_keeping(model: Any, keep: Sequence[str]) -> Graph:
    """Returns the graph of a model in which some layers keep all channels."""
    kept = layers_of(model, keep, "keep=")
    graph = Graph(model)
    for layer in graph.makers():
        if id(layer.layer) in kept:
            graph.channels.lock(layer.made, KEPT)
    return graph


def _reasons(graph: Graph) -> str:
    """Returns in words through which layers channels cannot be followed, and why, of the first ones."""
    found = [
        f"'{known.layer.name}' ({type(known.layer).__name__}): {known.refused}"
        for known in graph.layers.values()
        if known.refused is not None
        and not isinstance(known.layer, TaskOutput)
        and any(numbers is not None for numbers in known.taken)
    ]
    if not found:
        return ""
    return f" Channels stay that go through {shown(found)}."
