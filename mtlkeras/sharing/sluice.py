"""Sluice networks: stitches between subspaces, and a mixture of the layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial

import keras

from mtlkeras._fields import check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.layers.cross_stitch import CrossStitchUnit
from mtlkeras.layers.layer_mixture import LayerMixture
from mtlkeras.sharing._lanes import ended_lanes
from mtlkeras.sharing._stitching import check_stitches, stitched
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow


@spec
class Sluice(Sharing):
    """Each task has a trunk of its own; behind stages the subspaces of all are mixed, at the end its layers.

    Ruder et al. 2019 (first of 2017), Latent Multi-task Architecture Learning: the channels of each trunk
    are cut into subspaces; after a stage every subspace becomes a weighted sum of those of all tasks
    (with trained alpha), so that a task can share some and keep others. At the end of the stages a task goes
    on with a weighted sum of its own stages' outputs (with trained beta). Only outputs of the shape of the
    last stage's can be added up: of the `MLP` and the trunks for text those of all layers of one width; of
    those whose maps or texts shrink, such as the `ResNet`, the last alone, so that there is no beta. The
    paper's penalty for subspaces that are not orthogonal is not there.

    In the trunk the models `<task>_<stage>` are the stages, the layers `<stage>_stitch` the units, and
    `<task>_beta` the mixtures of stages.

    Args:
        subspaces: Number of subspaces of each task, which must divide the channels of each stage.
        own: Where a subspace's weight for itself begins, in [0, 1]; the others share the rest evenly.
        last: Where the weight of the last stage begins, in [0, 1]; the others share the rest evenly.
        stages: Names of the stages that a unit follows; `None` for all.

    Raises:
        ValueError: If a field does not fit; when called, if the trunk is one model, of which there are no
            copies, `stages` names one that it has not, or the channels are not cut evenly.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(depth=2, width=16),
        heads={"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Classification(3)},
        sharing=mtlkeras.sharing.Sluice(),
    )
    model.trunk.get_layer("a_beta").gate_values()  # [0.1, 0.9]
    ```
    """

    subspaces: int = tunable(2, 1, 2, 4)
    own: float = tunable(0.9, 0.5, 0.7, 0.9, 0.99)
    last: float = tunable(0.9, 0.5, 0.7, 0.9)
    _: dataclasses.KW_ONLY
    stages: tuple[str, ...] | None = None

    def validate(self) -> None:
        check_positive(self, "subspaces")
        check_stitches(self, "own", "last")

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        inner = as_inner(inputs)
        unit = partial(CrossStitchUnit, self.own, subspaces=self.subspaces)
        lanes, flows = stitched(self, trunk, inner, list(heads), unit)
        for lane, passed in zip(lanes, flows, strict=True):
            alike = [flow.x for flow in passed if _can_be_added(flow, passed[-1])]
            if len(alike) > 1:
                lane.put(len(passed) - 1, LayerMixture(self.last, name=f"{lane.name}_beta")(alike))
        ends = ended_lanes([(lane, [lane.name]) for lane in lanes], heads)
        return self.shared(trunk, inner, inputs, *ends)


def _can_be_added(one: Flow, other: Flow) -> bool:
    """Returns whether the tensors of two flows of a lane are of one shape.

    Where a text's length is not known what is beside tells whether it was pooled: another mask. The size of
    a picture that is not known may have changed.
    """
    if one.x.shape != other.x.shape:
        return False
    beside = [{id(x) for x in flow.beside.values()} for flow in (one, other)]
    return None not in one.x.shape[1:] or (len(one.x.shape) == 3 and beside[0] == beside[1])
