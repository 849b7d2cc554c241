"""What the stages of a trained trunk give for data, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._missing import MISSING
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.pixel_inputs import model_inputs
from mtlkeras.features import Features
from mtlkeras.sharing import HardSharing
from mtlkeras.sharing.base import open_trunk
from mtlkeras.transfer._origin import Origin
from mtlkeras.transfer.copy_weights import copy_weights
from mtlkeras.trunks._stage_layers import layers_behind
from mtlkeras.trunks.base import Trunk

MASK = "mask"


class StageFeatures:
    """The stages of a trained trunk as one model with an output for each.

    Args:
        origin: The model.
        kind: `"vector"` or `"sequence"`: what is read of a stage, pooled where it is none.
        names: Stages to look at; `None` for all. Of a trunk that is a `keras.Model`, names of layers.

    Raises:
        ValueError: If the trunk has no stages, not those, or none that gives what is read.
    """

    def __init__(self, origin: Origin, kind: str, names: Sequence[str] | None) -> None:
        if not isinstance(origin.sharing, HardSharing):
            raise ValueError(
                f"probe: reads the stages of one trunk that all tasks share; under "
                f"{type(origin.sharing).__name__} what a stage gives depends on the task."
            )
        self._origin = origin
        self._symbolic, features, known = _opened(origin, names)
        for name in names or ():
            if name not in features.taps:
                raise unknown_name("stage", name, known, "stages= of probe")
        ranks = {"vector": (2, 3, 4), "sequence": (3,)}[kind]
        self.names = [name for name in names or known if len(features.taps[name].shape) in ranks]
        if not self.names:
            raise ValueError(f"probe: no stage of {features.source} gives a {kind}: {', '.join(known)}.")
        outputs = {name: features.get(kind, name, "probe") for name in self.names}
        if kind == "sequence" and features.mask is not None:
            outputs[MASK] = features.mask
        self._model = keras.Model(self._symbolic, outputs)
        if origin.spec is not None:
            self._trust_only_copies(outputs)

    def _trust_only_copies(self, outputs: Mapping[str, Any]) -> None:
        """Copies the weights, and leaves out stages with layers that the source has not."""
        copied = {id(self._model.get_layer(n)) for n in copy_weights(self._origin.trunk, self._model)}

        def is_copied(tensor: Any) -> bool:
            return all(id(layer) in copied for layer in layers_behind([tensor]).values() if layer.weights)

        self.names = [name for name in self.names if is_copied(outputs[name])]
        if not self.names:
            raise ValueError("probe: no stage of the trunk is trained: the heads of the model read none.")

    def of(self, x: Any, batch_size: int) -> dict[str, np.ndarray]:
        """Returns what the stages give for inputs, float32, and the mask of sequences as `MASK`."""
        if isinstance(self._origin.model, MultiTaskModel):
            x = model_inputs(self._origin.model, x)
        found = self._model.predict(x, batch_size=batch_size, verbose=0)
        wanted = {name: np.asarray(found[name], "float32") for name in self.names}
        return {**wanted, MASK: np.asarray(found[MASK], bool)} if MASK in found else wanted

    def labelled(self, data: Any, task: str | None, batch_size: int) -> tuple[dict[str, np.ndarray], Any]:
        """Returns what the stages give for data, and the labels of the task.

        Args:
            data: `(x, y)` in arrays, or batches of such; what follows in them is passed over.
            task: The task; `None` where the labels are those of one.
            batch_size: Of arrays.
        """
        if isinstance(data, tuple):
            return self.of(data[0], batch_size), np.asarray(_of_task(data[1], task))
        if not hasattr(data, "__iter__"):
            raise ValueError(
                f"probe: data must be (x, y) in arrays, or batches of these; received {type(data).__name__}."
            )
        found: dict[str, list[Any]] = {}
        labels = []
        for x, y, *_ in data:
            x = keras.tree.map_structure(np.asarray, x)  # Of TensorFlow on any backend.
            for name, values in self.of(x, len(keras.tree.flatten(x)[0])).items():
                found.setdefault(name, []).append(values)
            labels.append(np.asarray(_of_task(y, task)))
        if not labels:
            raise ValueError("probe: the data have no batch.")
        gap = np.nan if labels[0].dtype.kind == "f" else MISSING
        return {name: _joined(parts, 0) for name, parts in found.items()}, _joined(labels, gap)


def _opened(origin: Origin, names: Any) -> tuple[Any, Features, list[str]]:
    """Returns a trunk's inputs, its features, and the names of its stages."""
    if origin.spec is None:
        inputs, features = open_trunk(origin.trunk, None)
        if names is None:
            raise ValueError(
                "probe: the trunk is a keras.Model, which has no stages. Name layers of it: stages=(...), of "
                f"{', '.join(map(repr, features.taps))}."
            )
        return inputs, features, list(features.taps)
    inputs, spec = origin.inputs(), cast(Any, origin.spec)  # Of a class that a layer does not know.
    if type(spec).stages is Trunk.stages:
        raise ValueError(f"probe: {type(spec).__name__} has no stages. See mtlkeras.trunks.Stage.")
    if "weights" in spec.field_names():
        spec = spec.replace(weights=None)
    flow = spec.start(inputs)
    found = []
    for stage in spec.stages(flow):
        flow = stage(flow)
        found.append(stage.name)
    features = spec.end(flow)
    return inputs, features, [name for name in found if name in features.taps]


def _of_task(y: Any, task: str | None) -> Any:
    if not isinstance(y, Mapping):
        return y
    if task is None:
        if len(y) != 1:
            raise ValueError(
                f"probe: with a head in place of a task the labels are those of one; received {list(y)}."
            )
        (task,) = y
    if task not in y:
        raise unknown_name("task", task, y, "the labels of probe")
    return y[task]


def _joined(parts: list[np.ndarray], gap: Any) -> np.ndarray:
    """Returns arrays one after the other, shorter ones filled up along the time."""
    if parts[0].ndim < 2 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    steps = max(part.shape[1] for part in parts)
    rest = [(0, 0)] * (parts[0].ndim - 2)
    filled = [
        np.pad(part, [(0, 0), (0, steps - part.shape[1]), *rest], constant_values=gap) for part in parts
    ]
    return np.concatenate(filled)
