"""The base of all sharing schemes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtlkeras.features import Features
from mtlkeras.heads import Head
from mtlkeras.specs import Spec


class Sharing(Spec):
    """Decides which features of the trunk each task gets.

    Called with the trunk, the model's inputs and the heads by task, it builds the shared
    part of the graph and returns `Features` by task.
    """

    def __call__(self, trunk: Any, inputs: Any, heads: Mapping[str, Head]) -> dict[str, Features]:
        """Builds the shared graph.

        Args:
            trunk: A `mtlkeras.trunks.Trunk`, or a functional `keras.Model`.
            inputs: The model's `keras.Input`, or a dict of them.
            heads: The heads by task; each asks for a kind of feature, perhaps at a tap.
        """
        raise NotImplementedError
