"""What a model costs: its weights, and the operations of a prediction, by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import functional_within, has_graph, ordered_nodes
from mtlkeras.layers import SelfAttention

# Of a convolution each entry of the kernel counts for each pixel that it gives, of one that is transposed for
# each pixel that it takes.
_BY_OUTPUT = (
    keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense,
    keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D, keras.layers.SeparableConv2D,
)  # fmt: skip
_BY_INPUT = (
    keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose,
    keras.layers.RNN, keras.layers.Bidirectional, SelfAttention,
)  # fmt: skip
_KERNELS = ("kernel", "recurrent_low", "recurrent_kernel", "depthwise_kernel", "pointwise_kernel")


def flops_by_layer(model: Any) -> dict[str, int]:
    """Returns the floating-point operations of a prediction for one example, by layer.

    Counted are the products of kernels: dense layers, convolutions of all kinds, recurrent layers, the
    projections of `mtlkeras.layers.SelfAttention`, in every call. A multiplication and an addition count as
    two. Biases, normalisation, activations, pooling and the attention itself are left out;
    `mtlkeras.tuning.count_flops` counts all that TensorFlow knows.

    Args:
        model: A functional `keras.Model` whose inputs have a known shape but for the batch.

    Returns:
        The operations by the layer's name, `trunk/...` within the trunk.

    Raises:
        ValueError: If the model is not functional, or the size of what a layer gives is not known.

    Example:

    ```python
    trunk = mtlkeras.trunks.MLP(depth=1, width=8)
    model = mtlkeras.build_model((4,), trunk, {"y": mtlkeras.heads.Regression()})
    mtlkeras.compress.flops_by_layer(model)  # {'trunk/hidden_1': 64, 'y_logits': 16}
    ```
    """
    if not has_graph(functional_within(model)):
        raise ValueError(
            f"flops_by_layer: expected a functional keras.Model; received {type(model).__name__}"
            f"{', which has not been built' if isinstance(model, keras.Sequential) else ''}."
        )
    found: Counter[str] = Counter()
    for name, kernel, times in products(model):
        found[name] += 2 * times * int(np.prod(kernel.shape))
    return dict(found)


def products(model: Any, prefix: str = "") -> Iterator[tuple[str, Any, int]]:
    """Yields, by call, a layer's name, a kernel, and how often each entry of it is multiplied.

    Raises:
        ValueError: If that is not known.
    """
    for node in ordered_nodes(functional_within(model)):
        layer, name = node.operation, f"{prefix}{node.operation.name}"
        if has_graph(functional_within(layer)):
            yield from products(layer, f"{name}/")
        elif isinstance(layer, (*_BY_OUTPUT, *_BY_INPUT)):
            shape = (node.outputs if isinstance(layer, _BY_OUTPUT) else node.input_tensors)[0].shape
            if None in shape[1:-1]:
                raise ValueError(
                    f"The operations of layer '{name}' cannot be counted: it computes on the shape "
                    f"{tuple(shape[1:])}. Build the model with inputs of a known size, or count weights."
                )
            for weight in layer.weights:
                if weight.name in _KERNELS:
                    yield name, weight, int(np.prod(shape[1:-1]))
