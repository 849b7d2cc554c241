"""Kernels as whole numbers of eight bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._model.model import MultiTaskModel
from mtlkeras.compress._checks import check_model, check_not_compared, names_of, shown
from mtlkeras.compress._named import HEADS, TRUNK, layers_of, named_layers
from mtlkeras.compress._rebuild import as_it_is, own_values, rebuilt
from mtlkeras.layers import SelfAttention, TaskOutput

MODES = ("int8",)
_PLAIN = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Embedding)


def quantize(
    model: MultiTaskModel, what: str | Sequence[str] = TRUNK, *, mode: str = "int8"
) -> MultiTaskModel:
    """Returns a model of the same tasks, some of whose kernels are integers of eight bits.

    Each column of a kernel becomes integers from -127 to 127 and a scale, by its largest entry; what a layer
    is given is made integers by its largest entry when it is called, example by example (Jacob et al. 2018,
    Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference; Dettmers et
    al. 2022, LLM.int8(), section 2.1, without the parts in 16 bits). This is Keras' own quantization, so that
    the model saves, loads, exports and predicts as others do; the integers are trained no more, biases and
    all other layers are. The file becomes up to four times smaller; whether predictions become faster depends
    on backend and machine, and `compare` tells. The model is compiled as the other is, its optimizer begun
    anew.

    Args:
        model: The model, which stays as it is.
        what: `"trunk"`, `"heads"`, a task, a layer, or several. Of trunk, heads and tasks those layers
            are quantized that can be: `quantizable` says which, and why others are not.
        mode: `"int8"`.

    Raises:
        ValueError: If a named layer cannot be quantized or none of what is named can (says why), if a penalty
            compares the weights, or an argument does not fit.

    Example:

    ```python
    model = mtlkeras.build_model((64,), mtlkeras.trunks.MLP(width=64), {"y": mtlkeras.heads.Regression()})
    smaller = mtlkeras.compress.quantize(model, "trunk")
    smaller.trunk.get_layer("hidden_1").kernel.dtype  # 'int8'
    print(mtlkeras.compress.compare(model, smaller, np.ones((1, 64)))["file_bytes"])
    ```
    """
    check_model(model, "quantize")
    if mode not in MODES:
        raise unknown_name("mode", mode, MODES, "quantize")
    names = names_of(what, "what", "quantize", single=True)
    if not names:
        raise ValueError("quantize: what= names none; expected 'trunk', 'heads', tasks or layers.")
    chosen = _chosen(model, list(names))
    check_not_compared(model, "quantize")
    before = [id(layer) for _, layer in named_layers(model)]

    def finish(made: Any) -> None:
        for key, (_, layer) in zip(before, list(named_layers(made)), strict=True):
            if key in chosen:
                chosen.discard(key)  # A layer may be in several models.
                layer.quantize(mode)

    return rebuilt(model, as_it_is, own_values, finish=finish)


def quantizable(model: MultiTaskModel) -> dict[str, int | str]:
    """Returns which layers of a model can be quantized.

    Args:
        model: A `MultiTaskModel`.

    Returns:
        By the name of each layer with weights, how many of them would be integers; or if none, why.

    Example:

    ```python
    model = mtlkeras.build_model(
        (5,), mtlkeras.trunks.MLP(depth=1, width=8, normalization="batch"), {"y": mtlkeras.heads.Regression()}
    )
    mtlkeras.compress.quantizable(model)
    # {'hidden_1': 40, 'hidden_1_norm': 'Keras quantizes no BatchNormalization', 'y_logits': 8}
    ```
    """
    check_model(model, "quantizable")
    found: dict[str, int | str] = {}
    for name, layer in _with_weights(model):
        found[name] = _refusal(layer) or sum(_kernel_size(part) for part in _parts(layer))
    return found


def _with_weights(model: Any) -> list[tuple[str, Any]]:
    """Returns the layers with weights by name, without the outputs of the tasks."""
    return [
        (name, layer)
        for name, layer in named_layers(model)
        if getattr(layer, "weights", None) and not isinstance(layer, TaskOutput)
    ]


def _chosen(model: Any, names: list[str]) -> set[int]:
    """Returns the ids of the layers to quantize.

    Raises:
        ValueError: If a name means nothing, or what it means cannot be quantized.
    """
    groups = {HEADS, TRUNK, *model.heads}
    meant = layers_of(model, names, "quantize")
    every = {id(layer): (name, layer) for name, layer in _with_weights(model) if id(layer) in meant}
    refusals = {key: _refusal(layer) for key, (_, layer) in every.items()}
    refused = {every[key][0]: why for key, why in refusals.items() if why is not None}
    for name in names:
        if name not in groups and name in refused:
            raise ValueError(f"quantize: layer '{name}' cannot be quantized: {refused[name]}.")
    chosen = {key for key, why in refusals.items() if why is None}
    if not chosen:
        why = shown([f"'{name}': {why}" for name, why in refused.items()], "It has no weights")
        raise ValueError(f"quantize: no layer of {names!r} can be quantized. {why}.")
    return chosen


def _refusal(layer: Any) -> str | None:
    """Returns why a layer cannot be quantized, or `None`."""
    kind = type(layer)
    if kind not in (*_PLAIN, SelfAttention):
        return f"Keras quantizes no {kind.__name__}"
    if getattr(layer, "quantization_mode", None) or getattr(layer, "quantized", None):
        return "it is quantized"
    if getattr(layer, "lora_enabled", False):
        return "it has a low-rank update"
    if layer.compute_dtype == "float16":
        return "it computes in float16, which Keras does not quantize"
    if not all(np.isfinite(np.asarray(weight.numpy(), "float32")).all() for weight in layer.weights):
        return "its weights are not finite"
    return None


def _parts(layer: Any) -> list[Any]:
    """Returns the layers of kernels in a layer."""
    return layer.projections if isinstance(layer, SelfAttention) else [layer]


def _kernel_size(layer: Any) -> int:
    kernel = layer.embeddings if isinstance(layer, keras.layers.Embedding) else layer.kernel
    return math.prod(kernel.shape)
