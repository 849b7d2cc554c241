"""Multi-task attention network: one trunk, and masks of each task on its features."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.layers.feature_attention import FeatureAttention
from mtlkeras.sharing._along import begun, check_stage_names, each_float
from mtlkeras.sharing._carrying import Carrying
from mtlkeras.sharing._lanes import ended
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow


@spec
class MTAN(Sharing):
    """Each task reads one shared trunk through attention masks of its own, stage by stage.

    Liu, Johns and Davison 2019, End-to-End Multi-Task Learning with Attention, section 3.1: with p_j what the
    trunk gives at stage j, task k attends to `a_j * p_j` (equation 1), where

    `a_j = sigmoid(n(W2 relu(n(W1 [p_j; f_j(previous attended features)]))))`        (equation 2)

    with 1x1 convolutions W and normalisations n of the task, and at the first stage of p_j alone. f_j takes
    the attended features of the stage before to this one's size: for maps a 3x3 convolution and pooling, for
    sequences and vectors a dense layer, and pooling where the trunk has pooled the time; as in the paper, its
    weights are shared by the tasks. The paper takes W1's input and what is masked from two places of a block,
    u and p; a stage gives one tensor, which is both. What the last stage's masks leave is what the trunk's
    end is made on, for each task with weights of its own if it has any. A tap of an attended stage is the
    task's own too.

    The trunk runs once, whatever the number of tasks. A mask's values can be read:
    `mtlkeras.layers.FeatureAttention.gate_values`.

    Args:
        reduction: How many times narrower the hidden layer of a mask is than the features that it masks.
        stages: Names of the stages with masks; `None` for all. The last one must be among them.
        normalization: `"batch"` as in the paper, `"layer"`, `None`, or `"auto"` for `"batch"` on maps and
            `"layer"` on sequences and vectors. Statistics of batches differ between replicas.

    Raises:
        ValueError: If a field does not fit; when called, if the trunk has no stages, `stages` names one that
            it has not, or leaves out its last.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(28, 28, 1),
        trunk=mtlkeras.trunks.ResNet(depth=8, width=8),
        heads={"a": mtlkeras.heads.Classification(10), "b": mtlkeras.heads.Regression()},
        sharing=mtlkeras.sharing.MTAN(),
    )
    model.trunk.get_layer("a_stage_3_attention").hidden.units  # 8
    ```
    """

    reduction: int = tunable(4, 1, 2, 4, 8)
    _: dataclasses.KW_ONLY
    stages: tuple[str, ...] | None = None
    normalization: str | None = tunable("auto", "auto", "batch", "layer")

    def validate(self) -> None:
        check_positive(self, "reduction")
        check_stage_names("MTAN", self.stages)
        check_choice(self, "normalization", ("auto", "batch", "layer", None))

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        inner, flow, stages, names = begun("MTAN", self.stages, trunk, inputs)
        assert isinstance(trunk, Trunk)
        if names[-1] != stages[-1].name:
            raise ValueError(
                f"MTAN: stages must hold the last stage of {trunk!r}, '{stages[-1].name}', which the tasks "
                f"read; received {self.stages!r}."
            )
        attended = {task: _Attended(self, task) for task in heads}
        for stage in stages:
            flow = stage(flow)
            if stage.name in names:
                modules = each_float(flow.x, partial(self._carrying, stage.name))
                for features in attended.values():
                    features.attend(flow, stage.name, modules)
        ends = {
            task: ended(trunk, features.on(flow), {task: heads[task]}, f"{task}_end")
            for task, features in attended.items()
        }
        mask = next((end.mask for end in ends.values() if end.mask is not None), None)
        reads = {task: end.of(task) for task, end in ends.items()}
        return self.shared(trunk, inner, inputs, reads, mask, flow.cuts if trunk.remat else ())

    def _carrying(self, stage: str, x: Any, key: str) -> Carrying:
        return Carrying(x, self.normalization_of(x), f"{stage}{key}_carried")

    def normalization_of(self, x: Any) -> str | None:
        """Returns the kind of normalisation for features of a rank."""
        kind = "batch" if len(x.shape) == 4 else "layer"
        return kind if self.normalization == "auto" else self.normalization


class _Attended:
    """What a task attends to, from stage to stage."""

    def __init__(self, scheme: MTAN, task: str) -> None:
        self._scheme, self._task = scheme, task
        self._found: dict[str, Any] = {}
        self._last: Any = None
        self._mask: Any = None

    def attend(self, flow: Flow, stage: str, carrying: Any) -> None:
        """Attends to what a stage gave.

        Args:
            flow: The flow behind the stage.
            stage: Its name.
            carrying: What takes the features before it to its size, for each tensor of the flow.
        """

        def attended(x: Any, key: str) -> Any:
            carry = carrying[key[1:]] if key else carrying
            return self._masked(x, flow.mask if len(x.shape) == 3 else None, carry, f"{stage}{key}")

        self._found[stage] = each_float(flow.x, attended)
        self._last = self._found[stage]
        self._mask = flow.mask

    def _masked(self, x: Any, mask: Any, carry: Carrying, at: str) -> Any:
        name, seen = f"{self._task}_{at}", x
        if self._last is not None and carry.fits(self._last):
            carried = carry(self._last, self._mask, mask, self._task)
            seen = keras.layers.Concatenate(name=f"{name}_merged")([x, carried])
        units = max(1, x.shape[-1] // self._scheme.reduction)
        layer = FeatureAttention(units, self._scheme.normalization_of(x), name=f"{name}_attention")
        return layer(x, seen, mask=mask)

    def on(self, flow: Flow) -> Flow:
        """Returns the flow behind the last stage as the task sees it."""
        return flow.to(self._last, taps={name: x for name, x in self._found.items() if name in flow.taps})
