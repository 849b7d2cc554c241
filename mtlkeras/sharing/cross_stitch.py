"""Cross-stitch networks: a trunk for each task, mixed with the others stage by stage."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial

import keras

from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.layers.cross_stitch import CrossStitchUnit
from mtlkeras.sharing._lanes import ended_lanes
from mtlkeras.sharing._stitching import check_stitches, stitched
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks.base import Trunk


@spec
class CrossStitch(Sharing):
    """Each task has a trunk of its own, which behind stages goes on with a mixture of all.

    Misra et al. 2016, Cross-stitch Networks for Multi-task Learning, equation 1: after a stage the tensor of
    task k becomes x'_k = sum over the tasks j of alpha_kj x_j, with trained alpha. The trunks are of one spec
    and begin with different weights. The paper has units behind every pooling and every fully connected
    layer but the last, which belongs to the head: so here they are behind every stage, the last included.
    A head at a stage's tap reads what comes out of the unit.

    In the trunk the models `<task>_<stage>` are the stages, and the layers `<stage>_stitch` the units.

    Args:
        own: Where a task's weight for its own tensor begins, in [0, 1]; the other tasks share the rest
            evenly.
        per_channel: Whether each channel has weights of its own.
        stages: Names of the stages that a unit follows; `None` for all.

    Raises:
        ValueError: If a field does not fit; when called, if the trunk is one model, of which there are no
            copies, or `stages` names one that it has not.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(depth=2, width=16),
        heads={"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Classification(3)},
        sharing=mtlkeras.sharing.CrossStitch(),
    )
    model.trunk.get_layer("hidden_1_stitch").gate_values()  # [[0.9, 0.1], [0.1, 0.9]]
    ```
    """

    own: float = tunable(0.9, 0.5, 0.7, 0.9, 0.99)
    per_channel: bool = tunable(False, False, True)
    _: dataclasses.KW_ONLY
    stages: tuple[str, ...] | None = None

    def validate(self) -> None:
        check_stitches(self, "own")

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        inner = as_inner(inputs)
        unit = partial(CrossStitchUnit, self.own, self.per_channel)
        lanes, _ = stitched(self, trunk, inner, list(heads), unit)
        ends = ended_lanes([(lane, [lane.name]) for lane in lanes], heads)
        return self.shared(trunk, inner, inputs, *ends)
