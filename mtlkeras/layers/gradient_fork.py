"""Where a trunk's gradients come together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlkeras._types import NamedTensors


@keras.saving.register_keras_serializable("mtlkeras")
class GradientFork(keras.layers.Layer):
    """Hands each task its own copy of what the trunk gives, so that their gradients come back apart.

    Forward it is the identity and costs nothing. Backward, the gradients of the copies are added
    up, as they would be without it, unless the model is compiled with a balancer that combines
    them in another way.

    Args:
        keys: For each task, which of the inputs it reads: one, or a list of them.

    Inputs are a dict of tensors; outputs a dict by task of a tensor, or of a list of them.
    """

    def __init__(self, keys: Mapping[str, str | Sequence[str]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys = {task: key if isinstance(key, str) else list(key) for task, key in keys.items()}
        self.supports_masking = True
        self.combine_with(None)

    def combine_with(self, balancing: Any) -> None:
        """Sets what combines the gradients, by its method `fork`; `None` for their plain sum."""
        # The method alone: the model owns the object, and saving walks through what a layer knows.
        self._fork = None if balancing is None else balancing.fork

    def call(self, inputs: NamedTensors, training: bool | None = None) -> dict[str, Any]:
        if training and self._fork is not None:
            return self._fork(inputs, self.keys)
        return self._by_task(inputs)

    def _by_task(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            task: values.get(key) if isinstance(key, str) else [values.get(k) for k in key]
            for task, key in self.keys.items()
        }

    def compute_output_spec(self, inputs: NamedTensors, training: bool | None = None) -> dict[str, Any]:
        return keras.tree.map_structure(
            lambda x: keras.KerasTensor(x.shape, dtype=x.dtype), self._by_task(inputs)
        )

    def compute_mask(
        self, inputs: NamedTensors, previous_mask: NamedTensors | None = None
    ) -> dict[str, Any] | None:
        if not isinstance(previous_mask, Mapping):
            return None
        return self._by_task(previous_mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keys": self.keys}
