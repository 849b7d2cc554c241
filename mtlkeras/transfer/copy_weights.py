"""The weights of layers that two models have in common."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from mtlkeras._errors import unknown_name


def copy_weights(source: keras.Model, target: keras.Model, layers: Sequence[str] | None = None) -> list[str]:
    """Copies the weights of layers that have the same name in two models.

    So a trunk that was trained on some tasks begins the training on others, also where its
    inputs differ: a BERT that was pre-trained on pairs of sentences, then used on single ones.

    Args:
        source: A model, or its `trunk`.
        target: Another; of both, the trunks are taken where they have one.
        layers: Names of the layers to copy; by default all that both have with weights.

    Returns:
        The names of the layers whose weights were copied, in the target's order.

    Raises:
        ValueError: If a named layer is not there, if shapes differ, or if there is none to copy.

    Example:

    ```python
    def build(tasks):
        trunk = mtlkeras.trunks.MLP(depth=1, width=4)
        return mtlkeras.build_model((3,), trunk, {t: mtlkeras.heads.Regression() for t in tasks})

    mtlkeras.transfer.copy_weights(build(["a"]), build(["b", "c"]))  # ['hidden_1']
    ```
    """
    source, target = (getattr(model, "trunk", model) for model in (source, target))
    from_layers = {layer.name: layer for layer in source.layers if layer.weights}
    to_layers = {layer.name: layer for layer in target.layers if layer.weights}
    names = [name for name in to_layers if name in from_layers] if layers is None else list(layers)
    for name in names:
        for side, found in (("source", from_layers), ("target", to_layers)):
            if name not in found:
                raise unknown_name("layer", name, found, f"layers= of copy_weights, in the {side}")
        shapes = [[tuple(w.shape) for w in found[name].weights] for found in (from_layers, to_layers)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"copy_weights: layer '{name}' has weights of shapes {shapes[0]} in the source and "
                f"{shapes[1]} in the target."
            )
    if not names:
        raise ValueError("copy_weights: the two have no layer with weights of the same name.")
    for name in names:
        to_layers[name].set_weights(from_layers[name].get_weights())
    return names
