"""The last layer of a trunk."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras._types import NamedTensors
from mtlkeras.specs import Spec


@keras.saving.register_keras_serializable("mtlkeras")
class TrunkOutput(keras.layers.Layer):
    """Passes a trunk's features on and carries the trunk's spec.

    Args:
        trunk: The `mtlkeras.trunks.Trunk` spec.
        sharing: The `mtlkeras.sharing.Sharing` spec of a scheme with trunks of that spec; `None` for hard
            sharing.

    Inputs are a dict of tensors by kind, tap or task; the outputs are the same.
    """

    def __init__(self, trunk: Spec, sharing: Spec | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trunk, self.sharing = trunk, sharing
        self.supports_masking = True

    def call(self, inputs: NamedTensors) -> NamedTensors:
        return inputs

    def get_config(self) -> dict[str, Any]:
        specs = {"trunk": self.trunk, "sharing": self.sharing}
        return {**super().get_config(), **keras.saving.serialize_keras_object(specs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TrunkOutput:
        specs = {name: config.get(name) for name in ("trunk", "sharing")}
        return cls(**{**config, **keras.saving.deserialize_keras_object(specs)})
