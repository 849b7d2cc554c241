"""Adapters: one trunk, and small layers of each task between its stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from mtlkeras._fields import check_choice, check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.layers.adapters import LowRankUpdate, ResidualAdapter
from mtlkeras.sharing._along import begun, check_stage_names, each_float
from mtlkeras.sharing._lanes import End
from mtlkeras.sharing.base import Shared, Sharing
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._apart import Part
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow, Stage

_KINDS = {"residual": ResidualAdapter, "low_rank": LowRankUpdate}


@spec
class Adapters(Sharing):
    """One shared trunk with small layers of each task behind its stages.

    `kind="residual"`: x + U relu(D norm(x)), the residual adapters of Rebuffi, Bilen and Vedaldi (2017,
    Learning multiple visual domains with residual adapters) for maps, with 1x1 convolutions, and those of
    Houlsby et al. (2019, Parameter-Efficient Transfer Learning for NLP) for sequences and vectors.
    `kind="low_rank"`: x + B A x, the form of Hu et al. (2021, LoRA) between stages. U and B begin with zeros,
    so the model begins as hard sharing with the same weights.

    What a task's adapter gives goes into the next stage, so each stage behind the first adapter runs once for
    each task, with the same weights; time grows with the number of tasks, as it does not under hard sharing.
    Batch normalisation counts each task's run as a batch.

    With `frozen=True` nothing of the trunk changes in training, moving statistics included: so a task joins
    a trained trunk and leaves what others have of it alone. Layers of a model that is the trunk are frozen
    themselves, also where else they are used: set `trainable` of that model to train it again.

    Args:
        units: Width of the hidden layer of an adapter, the rank of a low-rank update.
        kind: `"residual"` or `"low_rank"`.
        stages: Names of the stages behind which there are adapters; `None` for all.
        frozen: Whether the shared weights are frozen.

    Raises:
        ValueError: If a field does not fit; when called, if the trunk has no stages, or none of a name in
            `stages`.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(depth=2, width=16),
        heads={"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Classification(3)},
        sharing=mtlkeras.sharing.Adapters(units=4, frozen=True),
    )
    [layer.name for layer in model.trunk.layers if layer.trainable_weights][:2]
    # ['a_hidden_1_adapter', 'b_hidden_1_adapter']
    ```
    """

    units: int = tunable(16, 4, 8, 16, 32, 64)
    kind: str = tunable("residual", "residual", "low_rank")
    _: dataclasses.KW_ONLY
    stages: tuple[str, ...] | None = None
    frozen: bool = False

    def validate(self) -> None:
        check_positive(self, "units")
        check_choice(self, "kind", tuple(_KINDS))
        check_stage_names("Adapters", self.stages)

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        inner, start, stages, names = begun("Adapters", self.stages, trunk, inputs)
        assert isinstance(trunk, Trunk)
        flows, cuts = dict.fromkeys(heads, start), []
        parts: list[Any] = []
        for stage in stages:
            step = self._step(stage, flows, stage.name in names)
            flows = step.flows
            parts.append(step.part)
            cuts += step.cuts
        ends = _ends(trunk, flows, heads)
        if self.frozen:
            for part in (*parts, *(end.part for end in ends.values())):
                part.freeze()
        found = {task: ends[task](flow) for task, flow in flows.items()}
        mask = next((end.mask for end in found.values() if end.mask is not None), None)
        reads = {task: end.of(task) for task, end in found.items()}
        return self.shared(trunk, inner, inputs, reads, mask, cuts if trunk.remat else ())

    def _step(self, stage: Stage, flows: Mapping[str, Flow], adapted: bool) -> _Step:
        """Runs a stage for all tasks, once where they have one flow so far, and their adapters behind it."""
        part = Part(stage, next(iter(flows.values())), stage.name)
        ran: dict[int, Flow] = {}
        after = {}
        for task, flow in flows.items():
            if id(flow) not in ran:
                ran[id(flow)] = part(flow)
            after[task] = ran[id(flow)]
        # A part that has been called several times has no one tensor to cut at.
        cuts = keras.tree.flatten(next(iter(ran.values())).x) if len(ran) == 1 else []
        if adapted:
            after = {task: self._adapted(flow, task, stage.name) for task, flow in after.items()}
            cuts = [*cuts, *(x for flow in after.values() for x in keras.tree.flatten(flow.x))]
        return _Step(after, part, cuts)

    def _adapted(self, flow: Flow, task: str, stage: str) -> Flow:
        def adapter(x: Any, key: str) -> Any:
            return _KINDS[self.kind](self.units, name=f"{task}_{stage}{key}_adapter")(x)

        x = each_float(flow.x, adapter)
        return flow.to(x, taps={stage: x} if stage in flow.taps else {})


def _ends(trunk: Trunk, flows: Mapping[str, Flow], heads: Mapping[str, Head]) -> dict[str, End]:
    """Returns the end of the trunk that each task reads.

    They share one, but for those that read taps alone: nothing of theirs lies behind the last of these.
    """
    flow = next(iter(flows.values()))
    readings = End(trunk, flow, heads, "trunk_end").readings
    behind = {task: heads[task] for task, found in readings.items() if any(at is None for at, _ in found)}
    ends = dict.fromkeys(behind, End(trunk, flow, behind, "trunk_end"))
    for task in [task for task in heads if task not in behind]:
        ends[task] = End(trunk, flows[task], {task: heads[task]}, f"{task}_end")
    return ends


class _Step(NamedTuple):
    """The flows of the tasks behind a stage, the stage as a part, and tensors to cut at."""

    flows: dict[str, Flow]
    part: Part
    cuts: list[Any]
