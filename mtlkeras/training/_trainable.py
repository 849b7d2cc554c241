"""What of a model trains: flags that are set for a while, and are afterwards as they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mtlkeras._keras_private import all_layers


class Flags:
    """The `trainable` flags of a model's layers and weights as they are now.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._by_layer = [(layer, layer.trainable) for layer in all_layers(model)]
        self._by_weight = [(weight, weight.trainable) for weight in model.weights]

    def put_back(self) -> None:
        """Sets all flags as they were."""
        # A layer sets those of the layers within it and of its weights: outer ones first, weights last.
        for layer, flag in self._by_layer:
            if layer.trainable != flag:
                layer.trainable = flag
        for weight, flag in self._by_weight:
            if weight.trainable != flag:
                weight.trainable = flag

    def freeze_all_but(self, chosen: Iterable[Any], layers: Iterable[Any]) -> None:
        """Freezes layers that are not chosen; flags of the chosen ones are as they were.

        Args:
            chosen: The layers that train.
            layers: All that there are to choose from.
        """
        self.put_back()
        kept = {id(layer) for layer in chosen}
        for layer in layers:
            # Those without weights too: moving statistics are no weights that train, but move.
            if id(layer) not in kept and layer.variables:
                layer.trainable = False
