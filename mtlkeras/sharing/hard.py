"""Hard sharing: one trunk for all tasks."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.layers.gradient_fork import GradientFork
from mtlkeras.sharing.base import Shared, Sharing, as_features, name_of, open_trunk, read_by, with_spec
from mtlkeras.specs import spec
from mtlkeras.trunks.base import Trunk

FORK = "gradient_fork"


@spec
class HardSharing(Sharing):
    """All tasks read the same trunk (Caruana 1997, Multitask Learning).

    The trunk becomes one functional `keras.Model` named `"trunk"` whose outputs are what
    the heads ask for: a tensor where they all ask for the same, else a dict. A
    `mtlkeras.layers.GradientFork` hands them to the heads.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(),
        heads={"y": mtlkeras.heads.Regression()},
        sharing=mtlkeras.sharing.HardSharing(),
    )
    ```
    """

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        inner, features = open_trunk(trunk, inputs)
        outputs, readings = read_by(heads, features)
        outputs = with_spec(trunk, outputs)
        single = len(outputs) == 1
        body = self.model(inner, next(iter(outputs.values())) if single else outputs, features.cuts)
        shared = body(inputs)
        shared = {next(iter(outputs)): shared} if single else dict(shared)
        mask = shared.pop("mask", None)
        keys = {task: [name_of(reading) for reading in found] for task, found in readings.items()}
        # One key where a task reads one tensor, as its copies are then.
        forked = GradientFork({t: k[0] if len(k) == 1 else k for t, k in keys.items()}, name=FORK)(shared)
        features_of = {}
        for task, found in readings.items():
            copies = forked[task] if len(found) > 1 else [forked[task]]
            features_of[task] = as_features(dict(zip(found, copies, strict=True)), mask)
        return Shared(features_of, body)
