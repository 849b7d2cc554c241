"""What channels become in each kind of layer: passed on, made anew, tied to others, or out of our sight.

A rule takes a `Call` and returns the channels of each output. It notes which axes of which weights have an
entry for each channel, and how the layer's config changes when some go. Only classes that are named here have
a rule: one that derives from them may do anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from mtlkeras import layers as own
from mtlkeras.compress import _rules_of_kernels as kernels
from mtlkeras.compress._call import MAKES, READS, Call, Kept, Refused, has_channels
from mtlkeras.compress._channels import Numbers

Channeled = list[Numbers | None]

# Operations of `keras.ops` without arguments that matter, or with numbers, by the name of their class.
_OPERATIONS_ALONE = (
    "Abs", "Cast", "Elu", "Gelu", "HardSigmoid", "HardSilu", "HardTanh", "LeakyRelu", "Negative", "Relu",
    "Relu6", "Selu", "Sigmoid", "Silu", "Softplus", "Softsign", "Square", "Sqrt", "StopGradient", "Tanh",
)  # fmt: skip
_OPERATIONS_TOGETHER = ("Add", "Divide", "Maximum", "Minimum", "Multiply", "Subtract", "TrueDivide")


def passed(call: Call) -> Channeled:
    """Each channel of the first input becomes the channel of its place."""
    if getattr(call.layer, "data_format", None) == "channels_first" and len(call.inputs[0].shape) > 2:
        raise Refused("its channels are not on the last axis")
    if not has_channels(call.outputs[0]):
        raise Refused("it gives no floats")
    return call.same(call.x)


def activated(call: Call) -> Channeled:
    """As `passed`, for functions of one channel."""
    kernels.check_activation(call.layer)
    return call.same(call.x)


def scaled(call: Call) -> Channeled:
    """As `passed`, where scale and offset are one for all channels."""
    if np.ndim(call.layer.scale) or np.ndim(call.layer.offset):
        raise Refused("it has a scale for each channel")
    return call.same(call.x)


def learned_slopes(call: Call) -> Channeled:
    """A PReLU: slopes by channel, unless they are shared."""
    alpha = call.weight("alpha")
    if alpha is not None and alpha.shape[-1] == len(call.x):
        call.slice(alpha, -1, call.x, MAKES)
    return call.same(call.x)


def padded(call: Call) -> Channeled:
    """Padding of pixels; or, read with channels first, of the last axis."""
    layer = call.layer
    if layer.data_format != "channels_first" or len(call.inputs[0].shape) != 4:
        return passed(call)
    before, after = layer.padding[1]
    zeros = [call.channels.fresh(count) for count in (before, after)]

    def edit(config: dict[str, Any], kept: Kept) -> None:
        config["padding"] = (tuple(layer.padding[0]), tuple(int(kept(part).sum()) for part in zeros))

    call.edits.append(edit)
    return call.same(np.concatenate([zeros[0], call.x, zeros[1]]))


def together(call: Call) -> Channeled:
    """Sums, products and the like: the channels of one place are one."""
    if any(x is None or len(x) != len(call.x) for x in call.given):
        raise Refused("its inputs differ in their number of channels")
    for other in call.given[1:]:
        call.channels.tie(call.x, other)
    return call.same(call.x)


def concatenated(call: Call) -> Channeled:
    """Beside each other on the last axis; on another one as `together`."""
    axis, rank = getattr(call.layer, "axis", -1), len(call.inputs[0].shape)
    if axis not in (-1, rank - 1):
        return together(call)
    parts = [x for x in call.given if x is not None]
    if len(parts) < len(call.given):
        raise Refused("one of its inputs has no channels")
    return call.same(np.concatenate(parts))


def flattened(call: Call) -> Channeled:
    """Pixels and channels in a row: each channel is there once for each pixel."""
    shape = call.inputs[0].shape[1:]
    if None in shape:
        raise Refused("the size of its input is not known")
    return call.same(np.tile(call.x, int(np.prod(shape[:-1]))))


def reshaped(call: Call) -> Channeled:
    """Pixels in a row or in rows, with their channels or all in one."""
    target = call.layer.target_shape
    if len(target) == 1:
        call.edits.append(_any_length)
        return flattened(call)
    if call.outputs[0].shape[-1] != len(call.x):
        raise Refused("it moves channels to other axes")
    channels = call.x

    def edit(config: dict[str, Any], kept: Kept) -> None:
        config["target_shape"] = (*target[:-1], int(kept(channels).sum()))

    call.edits.append(edit)
    return call.same(channels)


def _any_length(config: dict[str, Any], kept: Kept) -> None:
    config["target_shape"] = (-1,)


def passed_in_structure(call: Call) -> Channeled:
    """Layers that hand on what they are given, under the same names."""
    return list(call.given)


def forked(call: Call) -> Channeled:
    """The fork before the heads: copies of inputs by task."""
    names = keras.tree.flatten({name: name for name in call.arguments.args[0]})
    by_name = dict(zip(names, call.given, strict=True))
    keys = call.layer.keys
    return [
        by_name[k]
        for task in sorted(keys)
        for k in ([keys[task]] if isinstance(keys[task], str) else keys[task])
    ]


def halved(call: Call) -> Channeled:
    """The last state of two directions: both halves lose the same."""
    if call.layer.bidirectional:
        call.tie_groups(call.x, 2)
    return call.same(call.x)


def neighbours(call: Call) -> Channeled:
    """Local response normalisation: channels stay neighbours as they were."""
    layer, channels = call.layer, call.x
    before = layer.positions or tuple(range(len(channels)))

    def edit(config: dict[str, Any], kept: Kept) -> None:
        stay = kept(channels)
        if not stay.all():
            config["positions"] = [place for place, stays in zip(before, stay, strict=True) if stays]

    call.edits.append(edit)
    return call.same(channels)


def scored(call: Call) -> Channeled:
    """Attention over steps: its small network reads all channels, and the mean has them all."""
    layer = call.layer
    call.slice(layer.hidden, -2, call.x, READS)

    def edit(config: dict[str, Any], kept: Kept) -> None:
        config["units"] = int(layer.scoring.shape[0])

    call.edits.append(edit)
    return call.same(call.x)


def mixed(call: Call) -> Channeled:
    """Tensors mixed by weights of examples, which come first."""
    weights, *values = call.given
    if weights is not None:
        call.channels.lock(weights, f"'{call.layer.name}' has a weight for each of its inputs")
    call.given = values
    return together(call)


def stitched(call: Call) -> Channeled:
    """Tensors of several tasks mixed channel by channel."""
    if call.layer.subspaces > 1:
        raise Refused("it cuts channels into subspaces")
    found = together(call)
    if call.layer.per_channel:
        call.slice(call.layer.alpha, -1, call.x)
    return found


def of_operation(operation: Any) -> Callable[[Call], Channeled] | None:
    """Returns the rule of an operation of `keras.ops`, or `None`."""
    name = type(operation).__name__
    if name in _OPERATIONS_ALONE:
        return passed
    if name in _OPERATIONS_TOGETHER:
        return _together_with_numbers
    return concatenated if name == "Concatenate" else None


def _together_with_numbers(call: Call) -> Channeled:
    values = keras.tree.flatten([call.arguments.args, call.arguments.kwargs])
    if any(np.ndim(v) for v in values if not isinstance(v, keras.KerasTensor) and v is not None):
        raise Refused("it takes an array")
    return together(call)


def _named(module: Any, names: str) -> list[type]:
    return [getattr(module, name) for name in names.split() if hasattr(module, name)]


_POOLS = [f"{kind}Pooling{n}D" for n in "123" for kind in ("Max", "Average", "GlobalMax", "GlobalAverage")]
_SIZES = [f"{kind}{n}D" for n in "123" for kind in ("UpSampling", "Cropping", "SpatialDropout")]

RULES: dict[type, Callable[[Call], Channeled]] = {
    **dict.fromkeys(_named(keras.layers, " ".join([*_POOLS, *_SIZES])), passed),
    **dict.fromkeys(
        _named(
            keras.layers,
            "ReLU LeakyReLU ELU Dropout GaussianNoise GaussianDropout ActivityRegularization Identity "
            "RepeatVector Resizing ZeroPadding1D ZeroPadding3D",
        ),
        passed,
    ),
    **dict.fromkeys(
        _named(own, "MaskSteps MaskedMaxPooling1D MaskedMax MaskedMean ResizeLike AdaptivePooling"), passed
    ),
    **dict.fromkeys(_named(keras.layers, "Add Average Maximum Minimum Multiply Subtract"), together),
    **dict.fromkeys(_named(keras.layers, "Conv1D Conv2D Conv3D"), kernels.convolved),
    **dict.fromkeys(
        _named(keras.layers, "Conv1DTranspose Conv2DTranspose Conv3DTranspose"), kernels.convolved_back
    ),
    **dict.fromkeys(_named(keras.layers, "DepthwiseConv1D DepthwiseConv2D"), kernels.convolved_by_channel),
    **dict.fromkeys(_named(keras.layers, "SeparableConv1D SeparableConv2D"), kernels.convolved_apart),
    **dict.fromkeys(_named(keras.layers, "SimpleRNN LSTM GRU"), kernels.recurrent),
    keras.layers.RNN: kernels.of_cells,
    keras.layers.MultiHeadAttention: kernels.attended_by_heads,
    own.SelfAttention: kernels.attended,
    own.GroupedConv2D: kernels.convolved,
    keras.layers.Activation: activated,
    keras.layers.BatchNormalization: kernels.normalized,
    own.BatchNormalizationPerSource: kernels.normalized,
    keras.layers.Bidirectional: kernels.both_ways,
    keras.layers.Concatenate: concatenated,
    keras.layers.Dense: kernels.dense,
    keras.layers.Embedding: kernels.embedded,
    keras.layers.Flatten: flattened,
    keras.layers.GroupNormalization: kernels.normalized_in_groups,
    keras.layers.PReLU: learned_slopes,
    keras.layers.Rescaling: scaled,
    keras.layers.Reshape: reshaped,
    keras.layers.ZeroPadding2D: padded,
    own.AttentionPooling: scored,
    own.Beside: concatenated,
    own.CrossStitchUnit: stitched,
    own.GradientFork: forked,
    own.LastState: halved,
    own.LocalResponseNormalization: neighbours,
    own.Mixture: mixed,
    own.TrunkOutput: passed_in_structure,
}

_UNKNOWN = "what it does with channels is not known"
_WHY: dict[type, str] = {
    own.TaskOutput: "its inputs are the scores of a task",
    keras.layers.LayerNormalization: "it normalises over all channels",
    keras.layers.Softmax: kernels.OVER_ALL,
}


def apply(call: Call) -> Channeled:
    """Returns the channels of each output of a call.

    Raises:
        Refused: If there is no rule for the layer, or it cannot tell.
    """
    layer = call.layer
    rule = RULES.get(type(layer))
    if rule is None and not isinstance(layer, keras.layers.Layer):
        rule = of_operation(layer)
    if rule is None:
        raise Refused(next((why for kind, why in _WHY.items() if isinstance(layer, kind)), _UNKNOWN))
    if getattr(layer, "quantization_mode", None):
        raise Refused("it is quantized")
    if getattr(layer, "lora_enabled", False):
        raise Refused("it has a low-rank update")
    return rule(call)
