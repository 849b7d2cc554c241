"""The rules of layers that make channels, or have weights for each."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mtlkeras.compress._call import MAKES, READS, Call, Kept, Refused
from mtlkeras.compress._channels import Numbers
from mtlkeras.layers import LowRankGRUCell, LowRankLSTMCell

Channeled = list[Numbers | None]

_ACROSS = ("softmax", "log_softmax", "sparsemax", "glu")
_GATES = {
    keras.layers.SimpleRNN: 1,
    keras.layers.GRU: 3,
    keras.layers.LSTM: 4,
    LowRankGRUCell: 3,
    LowRankLSTMCell: 4,
}
OVER_ALL = "it computes over all channels"


def check_activation(layer: Any) -> None:
    """Refuses a layer whose activation is a function over all channels."""
    name = getattr(layer.activation, "__name__", "")
    if name in _ACROSS:
        raise Refused(f"its activation '{name}' is computed over all channels")


def _check_last(layer: Any) -> None:
    check_activation(layer)
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise Refused("its channels are not on the last axis")


def dense(call: Call) -> Channeled:
    """A dense layer."""
    check_activation(call.layer)
    made = call.make(call.layer.units)
    call.slice(call.weight("kernel"), -2, call.x, READS)
    call.slice(call.weight("kernel"), -1, made, MAKES)
    call.slice(call.weight("bias"), -1, made, MAKES)
    call.set_count("units", made)
    return call.same(made)


def convolved(call: Call) -> Channeled:
    """A convolution. Groups of it lose channels of the same places."""
    layer, x = call.layer, call.x
    _check_last(layer)
    made = call.make(layer.filters)
    if layer.groups > 1:
        call.tie_groups(x, layer.groups)
        call.tie_groups(made, layer.groups)
    call.slice(call.weight("kernel"), -2, x[: len(x) // layer.groups], READS)
    call.slice(call.weight("kernel"), -1, made, MAKES)
    call.slice(call.weight("bias"), -1, made, MAKES)
    call.set_count("filters", made)
    return call.same(made)


def convolved_back(call: Call) -> Channeled:
    """A transposed convolution."""
    _check_last(call.layer)
    made = call.make(call.layer.filters)
    call.slice(call.weight("kernel"), -1, call.x, READS)
    call.slice(call.weight("kernel"), -2, made, MAKES)
    call.slice(call.weight("bias"), -1, made, MAKES)
    call.set_count("filters", made)
    return call.same(made)


def convolved_by_channel(call: Call) -> Channeled:
    """A depthwise convolution: what is made of a channel goes with it."""
    _check_last(call.layer)
    each = np.repeat(call.x, call.layer.depth_multiplier)
    call.slice(call.weight("kernel"), -2, call.x, MAKES)
    call.slice(call.weight("bias"), -1, each, MAKES)
    return call.same(each)


def convolved_apart(call: Call) -> Channeled:
    """A depthwise convolution and one of a pixel in one layer."""
    _check_last(call.layer)
    made = call.make(call.layer.filters)
    call.slice(call.weight("depthwise_kernel"), -2, call.x, MAKES)
    call.slice(call.weight("pointwise_kernel"), -2, np.repeat(call.x, call.layer.depth_multiplier), READS)
    call.slice(call.weight("pointwise_kernel"), -1, made, MAKES)
    call.slice(call.weight("bias"), -1, made, MAKES)
    call.set_count("filters", made)
    return call.same(made)


def embedded(call: Call) -> Channeled:
    """An embedding."""
    made = call.make(call.layer.output_dim)
    call.slice(call.weight("embeddings"), -1, made, MAKES)
    call.set_count("output_dim", made)
    return call.same(made)


def normalized(call: Call) -> Channeled:
    """Batch normalisation over the last axis."""
    axis = getattr(call.layer, "axis", -1)
    if axis not in (-1, len(call.inputs[0].shape) - 1):
        raise Refused("it normalises another axis than the last")
    for weight in call.layer.weights:
        call.slice(weight, -1, call.x, MAKES if weight.name in ("gamma", "beta") else None)
    return call.same(call.x)


def normalized_in_groups(call: Call) -> Channeled:
    """Group normalisation: the channels of a group have statistics in common, so they go together."""
    layer, x = call.layer, call.x
    if layer.axis not in (-1, len(call.inputs[0].shape) - 1):
        raise Refused("it normalises another axis than the last")
    groups = len(x) if layer.groups == -1 else layer.groups
    if groups == 1:
        raise Refused("it normalises over all channels")
    for group in np.split(x, groups):
        call.channels.tie(np.full(len(group), group[0]), group)
    for weight in layer.weights:
        call.slice(weight, -1, x, MAKES)
    call.set_count("groups", x, per=len(x) // groups)
    return call.same(x)


def attended(call: Call) -> Channeled:
    """Self-attention with its shortcut: heads go one by one, channels stay."""
    layer = call.layer
    if layer.quantized:
        raise Refused("it is quantized")
    made = _heads(call, layer.attention, layer.heads)
    call.set_count("heads", made)
    width = layer.attention.key_dim

    def edit(config: dict[str, Any], kept: Kept) -> None:
        config["head_width"] = width

    call.edits.append(edit)
    call.channels.lock(call.x, f"they go through '{layer.name}' ({type(layer).__name__}): {OVER_ALL}")
    return call.same(call.x)


def attended_by_heads(call: Call) -> Channeled:
    """Keras' attention: heads go one by one, the channels of inputs and output stay."""
    layer = call.layer
    if len(call.outputs) > 1:
        raise Refused("it gives its scores")
    if any(part.quantization_mode or part.lora_enabled for part in _projections(layer)):
        raise Refused("it is quantized or has a low-rank update")
    made = _heads(call, layer, layer.num_heads)
    call.set_count("num_heads", made)
    given = call.channels.fresh(call.outputs[0].shape[-1])
    for numbers in [*call.given, given]:
        if numbers is not None:
            call.channels.lock(
                numbers, f"they go through '{layer.name}' ({type(layer).__name__}): {OVER_ALL}"
            )
    return [given]


def _projections(attention: Any) -> list[Any]:
    return [attention.query_dense, attention.key_dense, attention.value_dense, attention.output_dense]


def _heads(call: Call, attention: Any, count: int) -> Numbers:
    """Returns heads as channels: queries, keys and values make one, and the output reads it."""
    made = call.make(count)
    *inner, output = _projections(attention)
    for part in inner:
        call.slice(part.kernel, -2, made, MAKES)
        call.slice(part.bias, -2, made, MAKES)
    call.slice(output.kernel, -len(output.kernel.shape), made, READS)
    return made


def recurrent(call: Call) -> Channeled:
    """A recurrent layer: a unit goes with its gates and with what the others read of it."""
    made = call.make(call.layer.units)
    _cells(call, call.layer, made)
    call.set_count("units", made)
    return call.same(made)


def of_cells(call: Call) -> Channeled:
    """A recurrent layer of a cell of ours."""
    if type(_cell(call.layer)) not in _GATES:
        raise Refused("what its cell does with channels is not known")
    made = call.make(_cell(call.layer).units)
    _cells(call, call.layer, made)

    def edit(config: dict[str, Any], kept: Kept) -> None:
        _narrow(config, kept, made)

    call.edits.append(edit)
    return call.same(made)


def both_ways(call: Call) -> Channeled:
    """Two recurrent layers of one width: units of the same place go together."""
    layer = call.layer
    parts = [layer.forward_layer, layer.backward_layer]
    if (
        any(type(_cell(part)) not in _GATES for part in parts)
        or _cell(parts[0]).units != _cell(parts[1]).units
    ):
        raise Refused("its two layers are not of one known kind and width")
    made = call.make(_cell(parts[0]).units)
    for part in parts:
        _cells(call, part, made)

    def edit(config: dict[str, Any], kept: Kept) -> None:
        for key in ("layer", "backward_layer"):
            if config.get(key) is not None:
                config[key] = {**config[key], "config": dict(config[key]["config"])}
                config[key].pop("build_config", None)
                _narrow(config[key]["config"], kept, made)

    call.edits.append(edit)
    if layer.merge_mode is None:
        raise Refused("it gives the two directions apart")
    return call.same(np.concatenate([made, made]) if layer.merge_mode == "concat" else made)


def _narrow(config: dict[str, Any], kept: Kept, made: Numbers) -> None:
    """Changes the number of units in the config of a recurrent layer, or of its cell."""
    units = int(kept(made).sum())
    if "cell" in config:
        cell = {key: value for key, value in config["cell"].items() if key != "build_config"}
        config["cell"] = {**cell, "config": {**cell["config"], "units": units}}
    else:
        config["units"] = units


def _cell(layer: Any) -> Any:
    """Returns what has the units: a recurrent layer of Keras' own, or the cell of another."""
    return layer.cell if type(layer) is keras.layers.RNN else layer


def _cells(call: Call, layer: Any, made: Numbers) -> None:
    cell = _cell(layer)
    check_activation(cell)
    if layer.return_state or layer.stateful or sum(x is not None for x in call.given) > 1:
        raise Refused("its states are read or kept outside of it")
    gates = np.tile(made, _GATES[type(cell)])
    low = call.weight("recurrent_low", layer)
    call.slice(call.weight("kernel", layer), -2, call.x, READS)
    call.slice(call.weight("kernel", layer), -1, gates, MAKES)
    call.slice(call.weight("recurrent_kernel", layer) if low is None else low, -2, made, READS)
    call.slice(call.weight("recurrent_kernel", layer), -1, gates, MAKES)
    call.slice(call.weight("bias", layer), -1, gates, MAKES)
