"""Where a trunk's gradients come together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


@keras.saving.register_keras_serializable("mtlkeras")
class GradientFork(keras.layers.Layer):
    """Hands each task its own copy of what the trunk gives, so that their gradients come back apart.

    Forward it is the identity and costs nothing. Backward, the gradients of the copies are added
    up, as they would be without it, unless the model is compiled with a balancer that combines
    them in another way.

    Args:
        keys: For each task, which of the inputs it reads.

    Inputs are a dict of tensors; outputs a dict of tensors by task.
    """

    def __init__(self, keys: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys = dict(keys)
        self.supports_masking = True
        self.combine_with(None)

    def combine_with(self, balancing: Any) -> None:
        """Sets what combines the gradients, by its method `fork`; `None` for their plain sum."""
        # The method alone: the model owns the object, and saving walks through what a layer knows.
        self._fork = None if balancing is None else balancing.fork

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> dict[str, Any]:
        if training and self._fork is not None:
            return self._fork(inputs, self.keys)
        return {task: inputs[key] for task, key in self.keys.items()}

    def compute_output_spec(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        specs = {key: keras.KerasTensor(x.shape, dtype=x.dtype) for key, x in inputs.items()}
        return {
            task: keras.KerasTensor(specs[key].shape, dtype=specs[key].dtype)
            for task, key in self.keys.items()
        }

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        if not isinstance(previous_mask, Mapping):
            return None
        return {task: previous_mask.get(key) for task, key in self.keys.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keys": self.keys}
