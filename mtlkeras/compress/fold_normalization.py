"""Batch normalisation within the kernels before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import functional_within, has_graph, ordered_nodes
from mtlkeras._model.model import MultiTaskModel
from mtlkeras.compress._checks import check_model, check_not_compared, check_weights, shown
from mtlkeras.compress._rebuild import own_values, rebuilt
from mtlkeras.layers import GroupedConv2D

_L = keras.layers
_PLAIN = (_L.Dense, _L.Conv1D, _L.Conv2D, _L.Conv3D, GroupedConv2D)
_DEPTHWISE = (_L.DepthwiseConv1D, _L.DepthwiseConv2D)
_SEPARABLE = (_L.SeparableConv1D, _L.SeparableConv2D)


@dataclasses.dataclass(frozen=True)
class Fold:
    """A layer that takes on the normalisation behind it.

    Args:
        layer: The layer, without an activation.
        norm: The `BatchNormalization`, which reads nothing else and which alone reads the layer.
    """

    layer: Any
    norm: Any


def fold_normalization(model: MultiTaskModel) -> MultiTaskModel:
    """Returns a model that predicts the same, without the batch normalisation behind its kernels.

    In predictions batch normalisation is a factor and a shift for each channel. Where it directly follows a
    convolution or a dense layer without activation, the factor goes into the kernel and the shift into the
    bias (Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
    Only Inference, section 3.2, eq. 14), and a layer less is computed. Names, heads, saving and export stay.

    It is the last thing to do: the model is compiled as the other is, but trained on it has no normalisation
    any more, and penalties of kernels are those of other kernels.

    Args:
        model: The model, which stays as it is.

    Raises:
        ValueError: If there is nothing to fold (says why), weights are not finite, or a penalty compares
            the weights.

    Example:

    ```python
    trunk = mtlkeras.trunks.ResNet(depth=8, width=8)
    model = mtlkeras.build_model((16, 16, 3), trunk, {"kind": mtlkeras.heads.Classification(4)})
    faster = mtlkeras.compress.fold_normalization(model)
    x = np.random.rand(2, 16, 16, 3)
    np.allclose(model.predict(x, verbose=0)["kind"], faster.predict(x, verbose=0)["kind"], atol=1e-5)  # True
    ```
    """
    check_model(model, "fold_normalization")
    check_not_compared(model, "fold_normalization")
    refusals: dict[str, str] = {}
    folds = list(_folds(model, _calls(model), refusals))
    if not folds:
        why = shown([f"'{name}': {why}" for name, why in refusals.items()], "The model has none")
        raise ValueError(f"fold_normalization: there is no batch normalisation to fold. {why}.")
    parts = [part for fold in folds for part in (fold.layer, fold.norm)]
    check_weights([(part.name, part) for part in parts], "fold_normalization")
    by_layer = {id(fold.layer): fold for fold in folds}
    by_norm = {id(fold.norm): fold for fold in folds}

    def edit(part: Any, config: dict[str, Any]) -> None:
        inner = functional_within(part)
        for operation in inner.operations:
            if id(operation) in by_norm:
                _leave_out(config, by_norm[id(operation)])

    def values(layer: Any) -> list[np.ndarray]:
        return _folded(by_layer[id(layer)]) if id(layer) in by_layer else own_values(layer)

    return rebuilt(model, edit, values, removed=by_norm.keys())


def _calls(model: Any) -> dict[int, int]:
    """Returns how often each layer is called, by its id: a model in the model counts once."""
    found: dict[int, int] = {}
    for node in _nodes(model):
        found[id(node.operation)] = found.get(id(node.operation), 0) + 1
    return found


def _nodes(model: Any) -> Iterator[Any]:
    inner = functional_within(model)
    yield from ordered_nodes(inner)
    for operation in inner.operations:
        if has_graph(functional_within(operation)):
            yield from _nodes(operation)


def _folds(model: Any, calls: dict[int, int], refusals: dict[str, str]) -> Iterator[Fold]:
    """Yields what can be folded; notes by the name of each other normalisation why it cannot."""
    inner = functional_within(model)
    nodes = list(ordered_nodes(inner))
    makers = {id(x): node for node in nodes for x in node.outputs}
    readers: dict[int, int] = {}
    for x in [*inner.outputs, *(x for node in nodes for x in node.input_tensors)]:
        readers[id(x)] = readers.get(id(x), 0) + 1
    for node in nodes:
        if has_graph(functional_within(node.operation)):
            yield from _folds(node.operation, calls, refusals)
        elif isinstance(node.operation, _L.BatchNormalization):
            why = _refusal(node, makers.get(id(node.input_tensors[0])), readers, calls)
            if why is None:
                yield Fold(makers[id(node.input_tensors[0])].operation, node.operation)
            else:
                refusals[node.operation.name] = why


def _refusal(node: Any, before: Any, readers: dict[int, int], calls: dict[int, int]) -> str | None:
    """Returns why a normalisation cannot go into what comes before it, or `None`."""
    if before is None:
        return "it reads an input"
    norm, layer = node.operation, before.operation
    if type(norm) is not _L.BatchNormalization:
        return f"a {type(norm).__name__} may do other things"
    if type(layer) not in (*_PLAIN, *_DEPTHWISE, *_SEPARABLE):
        return f"it follows a {type(layer).__name__}, whose weights cannot take it on"
    if layer.activation is not keras.activations.linear:
        return f"'{layer.name}' has an activation"
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        return f"'{layer.name}' is quantized or has a low-rank update"
    if readers[id(node.input_tensors[0])] > 1:
        return f"it is not alone in reading '{layer.name}'"
    if calls[id(norm)] > 1 or calls[id(layer)] > 1:
        return f"it or '{layer.name}' is called several times"
    if node.arguments.kwargs.get("training"):
        return "it is called with training=True"
    rank = len(node.input_tensors[0].shape)
    if norm.axis not in (-1, rank - 1) or getattr(layer, "data_format", "channels_last") != "channels_last":
        return "it does not normalise the last axis"
    if layer.dtype_policy != norm.dtype_policy:
        return f"it computes in another type than '{layer.name}'"
    return None


def _leave_out(config: dict[str, Any], fold: Fold) -> None:
    """Takes a normalisation out of the config of a model; what read it reads the layer before it."""
    name = fold.norm.name
    config["layers"] = [entry for entry in config["layers"] if entry["config"]["name"] != name]
    entry = next(entry for entry in config["layers"] if entry["config"]["name"] == fold.layer.name)
    entry["config"]["use_bias"] = True
    _rename([config.get("output_layers"), [e.get("inbound_nodes") for e in config["layers"]]], name, fold)


def _rename(value: Any, name: str, fold: Fold) -> None:
    """Changes in place where tensors come from, in a config of nodes or outputs."""
    if isinstance(value, list) and len(value) == 3 and value[0] == name:
        value[0] = fold.layer.name
    elif isinstance(value, (list, tuple, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            _rename(part, name, fold)


def _folded(fold: Fold) -> list[np.ndarray]:
    """Returns the weights of a layer that does its normalisation too, its bias last."""
    layer, norm = fold.layer, fold.norm
    mean, variance = (_float64(value) for value in (norm.moving_mean, norm.moving_variance))
    factor = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor = factor * _float64(norm.gamma)
    bias = _float64(layer.bias) if layer.use_bias else np.zeros_like(mean)
    bias = (bias - mean) * factor
    if norm.center:
        bias = bias + _float64(norm.beta)
    kernels = [weight for weight in layer.weights if weight is not layer.bias]
    found = [_float64(kernel) for kernel in kernels]
    if type(layer) in _DEPTHWISE:
        factor = factor.reshape(found[-1].shape[-2:])
    # Of a separable convolution the last kernel is the one of the outputs.
    found[-1] = found[-1] * factor
    return [*found, bias]


def _float64(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), "float64")
