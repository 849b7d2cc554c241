"""What a model's trunk makes of examples, at its end and on the way there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import ordered_nodes
from mtlkeras._model.answering import predicted
from mtlkeras._model.pixel_inputs import model_inputs
from mtlkeras._types import Data
from mtlkeras.sharing.base import TRUNK
from mtlkeras.trunks._rebuilt import features_within

END = "end"
"""Name of the place behind the whole trunk."""


class Places:
    """The places in a model's trunk at which features can be looked at, from shallow to deep, the end last.

    These are the taps of the trunk; other layers with one output go by their names.

    Args:
        model: A model with a trunk, or a functional `keras.Model`, which then is the trunk.
        asked_by: What to name in messages.

    Raises:
        ValueError: If the model's tasks share no trunk.
    """

    def __init__(self, model: Any, asked_by: str) -> None:
        self._asked_by, self._name = asked_by, getattr(model, "name", repr(model))
        trunk = next((layer for layer in getattr(model, "layers", ()) if layer.name == TRUNK), model)
        if hasattr(trunk, "heads") or not hasattr(trunk, "output"):
            raise ValueError(f"{asked_by}: the model '{self._name}' has no trunk whose features to look at.")
        self.trunk = trunk
        offered = features_within(trunk)
        self._taps = {} if offered is None else dict(offered.taps)
        outputs = trunk.output if isinstance(trunk.output, dict) else {}
        self._mask = outputs.get("mask", None if offered is None else offered.mask)

    @property
    def names(self) -> list[str]:
        """The taps and the end."""
        return [*self._taps, END]

    def features(self, x: Data, places: Sequence[str], **kwargs: Any) -> dict[str, np.ndarray]:
        """Returns the features of examples by place, float64 of shape `(examples, features)`.

        Maps have the mean over their pixels, sequences that over their tokens.

        Args:
            x: The examples, as for `predict`.
            places: Names of places.
            **kwargs: As for `predict`.

        Raises:
            ValueError: If there is no such place.
        """
        wanted = {place: [_pooled(*found) for found in self._tensors(place)] for place in places}
        predict = keras.Model(self.trunk.input, wanted).predict
        found = predicted(predict, model_inputs(self.trunk, x), **{"verbose": 0, **kwargs})
        return {
            place: np.concatenate([np.asarray(a, "float64") for a in found[place]], 1) for place in places
        }

    def _tensors(self, place: str) -> list[tuple[Any, Any]]:
        """Returns the tensors at a place, each with its mask or `None`."""
        if place == END:
            outputs = self.trunk.output
            named = outputs.items() if isinstance(outputs, dict) else enumerate(keras.tree.flatten(outputs))
            return [(tensor, self._mask) for name, tensor in named if name != "mask"]
        if place in self._taps:
            return [(self._taps[place], self._mask)]
        # Of the trunk's own graph: the outputs of a model within it are of another.
        nodes = [node for node in ordered_nodes(self.trunk) if len(node.outputs) == 1]
        tensors = {node.operation.name: node.outputs[0] for node in reversed(nodes)}
        if place not in tensors:
            known = dict.fromkeys((*self.names, *tensors))
            raise unknown_name("place", place, known, f"at= of {self._asked_by}")
        return [(tensors[place], None)]  # The time may have been pooled there.


def _pooled(tensor: Any, mask: Any) -> Any:
    """Returns one vector an example: the mean over what is neither the batch nor the features."""
    if len(tensor.shape) == 3:
        return keras.layers.GlobalAveragePooling1D(dtype="float32")(tensor, mask=mask)
    if len(tensor.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(dtype="float32")(tensor)
    return tensor
