"""The last layer of a trunk."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("mtlkeras")
class TrunkOutput(keras.layers.Layer):
    """Passes a trunk's features on and carries the trunk's spec.

    Args:
        trunk: The `mtlkeras.trunks.Trunk` spec.

    Inputs are a dict of tensors by kind or tap; the outputs are the same.
    """

    def __init__(self, trunk: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trunk = trunk
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "trunk": keras.saving.serialize_keras_object(self.trunk)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TrunkOutput:
        return cls(**{**config, "trunk": keras.saving.deserialize_keras_object(config["trunk"])})
