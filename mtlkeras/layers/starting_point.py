"""Where weights of a model began."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from mtlkeras._keras_private import uncast_value
from mtlkeras._types import Tensor


@keras.saving.register_keras_serializable("mtlkeras")
class StartingPoint(keras.layers.Layer):
    """Passes a trunk's features on and keeps the values that weights of the trunk began with.

    `mtlkeras.transfer.reuse_trunk` puts it at the end of a trunk that an `L2SP` penalty holds. The values are
    weights that are not trained, so they are saved, loaded and exported with the model; a
    `keras.models.clone_model` has zeros until it is given weights, as its other weights are drawn anew.

    Args:
        alpha: Factor of the penalty.
        places: Places of the weights that are held among those of the model, without the layer's own.
        shapes: Their shapes.

    Raises:
        ValueError: If there are not as many places as shapes.
    """

    def __init__(
        self, alpha: float, places: Sequence[int], shapes: Sequence[Sequence[int]], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if len(places) != len(shapes):
            raise ValueError(
                f"StartingPoint: expected as many shapes as places; received {len(shapes)} and {len(places)}."
            )
        self.alpha, self.places, self.shapes = float(alpha), list(places), [list(s) for s in shapes]
        self.supports_masking = True
        self.values = [
            self.add_weight(
                tuple(shape), name=f"start_{place}", initializer="zeros", trainable=False, dtype="float32"
            )
            for place, shape in zip(self.places, self.shapes, strict=True)
        ]

    def call(self, inputs: Any) -> Any:
        return inputs

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.tree.map_structure(lambda x: keras.KerasTensor(x.shape, dtype=x.dtype), inputs)

    def among(self, model: keras.Model) -> list[Any]:
        """Returns the variables of a model that are held, in the order of `places`."""
        own = {id(v) for v in self.weights}
        others = [v for v in model.weights if id(v) not in own]
        return [others[place] for place in self.places]

    def penalty(self, model: keras.Model) -> Tensor:
        """Returns `alpha / 2` times the squared distance of what is trained to its start, float32 `()`.

        Args:
            model: The model that the layer is a part of.
        """
        total = ops.zeros((), "float32")
        for variable, start in zip(self.among(model), self.values, strict=True):
            if variable.trainable:
                now = ops.cast(uncast_value(variable), "float32")
                total = total + ops.sum(ops.square(now - ops.convert_to_tensor(start)))
        return 0.5 * self.alpha * total

    def get_config(self) -> dict[str, Any]:
        own = {"alpha": self.alpha, "places": self.places, "shapes": self.shapes}
        return {**super().get_config(), **own}
