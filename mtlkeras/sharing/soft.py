"""Soft sharing: a trunk for each task, held together by a penalty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlkeras._fields import check_choice
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.sharing._lanes import check_copies, reseeded
from mtlkeras.sharing._tied import PENALTIES, Tied
from mtlkeras.sharing.base import TRUNK, Shared, Sharing, name_of, open_trunk, read_by
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks._remat import model_with_cuts
from mtlkeras.trunks.base import Trunk


@spec
class SoftSharing(Sharing):
    """Each task has a trunk of its own; a penalty keeps the tasks' weights alike.

    With `"l2"` it is the sum over all trained weights w of sum over the tasks k of |w_k - mean of w|^2; of
    two tasks that is half of |w_1 - w_2|^2, as in Duong et al. 2015, Low Resource Dependency Parsing:
    Cross-lingual Parameter Sharing in a Neural Network Parser. With `"trace_norm"` it is the sum over all
    trained weights of rank 2 or more of the trace norm of the matrix whose rows are the tasks' weights
    (Yang and Hospedales 2017, Trace Norm Regularised Deep Multi-Task Learning, last axis flattening), which
    wants the tasks' weights to depend on each other linearly, and to be small.

    The penalty computes in float32 and is part of `loss`, as regularisers are. All trunks begin with the same
    weights; a `keras.models.clone_model` draws those of each anew. Each has what any of the heads reads, so
    that all have the same weights. No parameter is that of two tasks, so there is nothing for balancers by
    gradients: use one by losses. In the trunk the models `<task>_trunk` are those of the tasks.

    Args:
        penalty: `"l2"` or `"trace_norm"`.
        strength: What the penalty is multiplied by.

    Raises:
        ValueError: If a field does not fit; when called, if the trunk is one model, of which there are no
            copies.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(depth=2, width=16),
        heads={"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Classification(3)},
        sharing=mtlkeras.sharing.SoftSharing("l2", strength=1e-2),
    )
    model.compile("adam", balancer=mtlkeras.balancers.Uncertainty())
    ```
    """

    penalty: str = tunable("l2", "l2", "trace_norm")
    strength: float = tunable(1e-3, low=1e-5, high=1e-1, log=True)

    def validate(self) -> None:
        check_choice(self, "penalty", tuple(PENALTIES))
        if self.strength < 0:
            raise ValueError(f"SoftSharing: strength must not be negative; received {self.strength}.")

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        check_copies("SoftSharing", trunk)
        inner = as_inner(inputs)
        lanes, reads, mask = [], {}, None
        for number, task in enumerate(heads):
            own, features = open_trunk(reseeded(trunk, number), inputs)  # type: ignore[arg-type]
            # What the other heads read is there too, so that all trunks have the same weights.
            outputs, readings = read_by(heads, features)
            lane = model_with_cuts(own, outputs, features.cuts, name=f"{task}_trunk")
            found = dict(lane(inner))
            mask = found.get("mask", mask)
            reads[task] = {reading: found[name_of(reading)] for reading in readings[task]}
            lanes.append(lane)
        for lane in lanes[1:]:
            lane.set_weights(lanes[0].get_weights())
        return self.shared(trunk, inner, inputs, reads, mask)

    def model(self, inputs: Any, outputs: Any, cuts: Sequence[Any] = ()) -> keras.Model:
        return Tied(inputs, outputs, name=TRUNK)
