"""A trunk that a penalty holds near its start."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras._keras_private import call_behind
from mtlkeras._types import Tensor
from mtlkeras.layers.starting_point import StartingPoint
from mtlkeras.trunks._remat import Rematerialized, cuts_of, model_with_cuts

STARTING_POINT = "starting_point"


def held(trunk: Any, variables: list[Any], alpha: float) -> keras.Model:
    """Returns a trunk of the same layers that adds to the losses how far variables are from their values now.

    Args:
        trunk: A functional model.
        variables: Those of its weights that are held.
        alpha: Factor of half the squared distance.
    """
    trunk = without_start(trunk)
    wanted = {id(v) for v in variables}
    places = [place for place, v in enumerate(trunk.weights) if id(v) in wanted]
    found = [trunk.weights[place] for place in places]
    layer = StartingPoint(alpha, places, [v.shape for v in found], name=STARTING_POINT)
    model = HeldTrunk(trunk.input, layer(trunk.output), name=trunk.name)
    layer.set_weights([keras.ops.convert_to_numpy(v) for v in found])
    names = [call_behind(x).operation.name for x in cuts_of(trunk)]
    if names:
        model.cut_at(names)
    return model


def without_start(trunk: Any) -> Any:
    """Returns a trunk, of the same layers, that nothing holds."""
    behind = call_behind(keras.tree.flatten(trunk.output)[0])
    if not isinstance(behind.operation, StartingPoint):
        return trunk
    (outputs,), _ = behind.arguments
    return model_with_cuts(trunk.input, outputs, cuts_of(trunk), trunk.name)


@keras.saving.register_keras_serializable("mtlkeras", name="HeldTrunk")
class HeldTrunk(Rematerialized):
    """A functional model that adds to its losses how far its weights are from where they began.

    They are those that its `mtlkeras.layers.StartingPoint` names and has the first values of.
    """

    @property
    def starting_point(self) -> StartingPoint:
        """The layer that knows where the weights began."""
        return next(layer for layer in self.layers if isinstance(layer, StartingPoint))

    def call(self, inputs: Any, training: Any = None, mask: Tensor | None = None) -> Any:
        outputs = super().call(inputs, training=training, mask=mask)
        keras.layers.Layer.add_loss(self, self.starting_point.penalty(self))  # A functional model's refuses.
        return outputs


# As `Rematerialized`: in files of weights a part goes by the name of its class.
HeldTrunk.__name__ = "Functional"
