"""The entropies of gates, which the shared model gives beside what the tasks read."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras._keras_private import ordered_nodes
from mtlkeras.layers.gates import GateEntropy
from mtlkeras.sharing.base import TRUNK

ENTROPIES = "gate entropies"


def gate_entropies(model: Any) -> dict[str, Any]:
    """Returns the symbolic entropies of a model's gates by name, shape `(batch,)`; none without `log_gates`.

    They are found in the graph, where they are after loading and cloning too.
    """
    for node in ordered_nodes(model):
        trunk = node.operation
        if trunk.name == TRUNK and isinstance(trunk, keras.Model) and isinstance(trunk.output, dict):
            names = [layer.name for layer in trunk.layers if isinstance(layer, GateEntropy)]
            outputs = keras.tree.pack_sequence_as(trunk.output, node.outputs)
            return {name: outputs[name] for name in names if name in outputs}
    return {}
