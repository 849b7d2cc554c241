"""The weights of layers that two models have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from mtlkeras._errors import unknown_name


def copy_weights(source: keras.Model, target: keras.Model, layers: Sequence[str] | None = None) -> list[str]:
    """Copies the weights of layers that have the same name in two models.

    So a trunk that was trained on some tasks begins the training on others, also where its
    inputs differ: a BERT that was pre-trained on pairs of sentences, then used on single ones.

    Where one has a layer within a part, as the stages of a trunk are under `mtlkeras.sharing.Adapters`, it is
    found by its own name, if no other in that model has the same.

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
    from_layers, to_layers = in_common(source, target)
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


def in_common(source: Any, target: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns by name the layers with weights of two models: parts that both have, and what is in others."""
    sides = [{layer.name: layer for layer in model.layers if layer.weights} for model in (source, target)]
    alike = {
        name
        for name, layer in sides[0].items()
        if name in sides[1] and _is_part(layer) == _is_part(sides[1][name])
    }
    one, two = (_opened(layers, alike) for layers in sides)
    return one, two


def _opened(layers: dict[str, Any], closed: set[str]) -> dict[str, Any]:
    """Returns layers by name, with those within parts but for some parts, if their names are unique."""
    found = [
        (inner.name, inner)
        for name, layer in layers.items()
        for inner in ([layer] if name in closed else _leaves(layer))
    ]
    counts = Counter(name for name, _ in found)
    return {name: layer for name, layer in found if counts[name] == 1}


def _leaves(layer: Any) -> Iterator[Any]:
    """Yields the layers with weights within a part, or the layer itself."""
    if not _is_part(layer):
        yield layer
        return
    for inner in layer.layers:
        if inner.weights:
            yield from _leaves(inner)


def _is_part(layer: Any) -> bool:
    return isinstance(layer, keras.Model)
