"""Progressive layered extraction: experts of each task and shared ones, mixed level by level."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._fields import check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.layers.orthogonality import Orthogonality
from mtlkeras.sharing._gated import Gated, Gates, is_float, mix, pooled
from mtlkeras.sharing._lanes import Lane, check_copies, ended, lanes
from mtlkeras.sharing.base import Shared
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow

_SHARED = None  # The path of the shared experts among those of the tasks.


@spec
class PLE(Gated):
    """Each task has experts of its own and shared ones, mixed by its gate, level by level (Tang et al. 2020).

    An expert is a trunk of the one spec with weights of its own. The stages of the trunk are divided into
    levels, as evenly as can be. Within a level every expert runs its stages. At its end the gate of a task
    mixes the task's experts and the shared ones, which is what the task's experts go on with; and the shared
    gate mixes all experts, for the shared ones. What the tasks read is made of the last mixture. One level is
    Customized Gate Control (CGC, section 4.1), several are PLE (section 4.2). For K tasks there are
    K `experts` + `shared_experts` trunks.

    The gates of the first level see the inputs where they are vectors of numbers, else the pooled first tap
    of the first shared expert; those of later levels what enters the level, pooled. In `model.trunk` gates
    are layers: `<task>_gate`, or with several levels `<task>_gate_1`, ... and for the shared experts
    `gate_1`, ...; a stage of an expert is a model: `<task>_expert_1_<stage>`, of a shared one
    `expert_1_<stage>`. `mtlkeras.analysis.gates` gives the weights: first the task's experts, then the shared
    ones.

    Args:
        experts: Number of experts of each task.
        shared_experts: Number of shared experts.
        levels: Number of levels, at most that of the trunk's stages.
        gate: `"softmax"`, or `"dselect_k"`: at most `k` experts have weight once the gate has settled
            (Hazimeh et al. 2021; `mtlkeras.layers.DSelectKGate`).
        k: Of `"dselect_k"`, the most experts that a gate picks; `None` for 2.
        gamma: Of `"dselect_k"`, the width of its smooth step.
        entropy_penalty: Of `"dselect_k"`, the factor of the selectors' entropy among the losses.
        temperature: What the logits of a gate's softmax are divided by.
        gate_dropout: Rate at which a gate leaves experts out in training (Zhao et al. 2019), in [0, 1).
        gate_sees: `"auto"` as above, or the name of a tap of the first level, pooled, for its gates.
        normalize_experts: Whether what an expert gives to a mixture is layer-normalised.
        log_gates: Whether each gate's mean entropy is logged, in nats, as `<gate>_entropy`.
        orthogonality: Strength of a penalty that keeps what the experts of a task give at the end of the last
            level apart from what shared ones do (Bousmalis et al. 2016, Domain Separation Networks, eq. 5;
            `mtlkeras.layers.Orthogonality`).

    Raises:
        ValueError: If a field does not fit; when called, if the trunk is a `keras.Model`, which there is one
            of only, or has fewer stages than there are levels, or not the tap that gates are to see.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(depth=2, width=16),
        heads={"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Classification(3)},
        sharing=mtlkeras.sharing.PLE(levels=2),
    )
    ```
    """

    experts: int = tunable(1, 1, 2, 3)
    shared_experts: int = tunable(1, 1, 2, 3)
    levels: int = 1
    orthogonality: float = 0.0

    @property
    def mixed(self) -> int:
        return self.experts + self.shared_experts

    def validate(self) -> None:
        check_positive(self, "levels", "experts", "shared_experts")
        if not (np.isfinite(self.orthogonality) and self.orthogonality >= 0):
            raise ValueError(
                f"PLE: orthogonality must be finite and not negative; received {self.orthogonality!r}."
            )
        super().validate()

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        check_copies("PLE", trunk)
        inner = trunk.own_inputs(inputs)  # type: ignore[union-attr]
        paths = self._paths(trunk, inner, list(heads))
        gates = Gates(self)
        groups = self._groups(trunk, paths[_SHARED][0])
        for level, places in enumerate(groups, 1):
            _Level(self, gates, level, places).run(paths, inner)
        reads: dict[str, dict[Any, Any]] = {}
        masks: list[Any] = []
        cuts: dict[int, Any] = {}
        for task, head in heads.items():
            end = ended(trunk, paths[task][0].flow, {task: head}, f"{task}_end")  # type: ignore[arg-type]
            reads[task] = end.of(task)
            masks += [] if end.mask is None else [end.mask]
            cuts |= {id(x): x for x in end.cuts}
        mask = masks[0] if masks else None
        return self.shared(trunk, inner, inputs, reads, mask, tuple(cuts.values()), gates.entropies(reads))

    def _paths(self, trunk: Any, inner: Any, tasks: list[str]) -> dict[str | None, list[Lane]]:
        """Returns the experts of each task, and last the shared ones."""
        counts: dict[str | None, int] = {**dict.fromkeys(tasks, self.experts), _SHARED: self.shared_experts}
        names = [
            f"{'' if path is _SHARED else f'{path}_'}expert_{number}"
            for path, count in counts.items()
            for number in range(1, count + 1)
        ]
        made = iter(lanes("PLE", trunk, inner, names))
        return {path: [next(made) for _ in range(count)] for path, count in counts.items()}

    def _groups(self, trunk: Any, lane: Lane) -> list[list[int]]:
        """Returns the places of each level's stages."""
        names = [stage.name for stage in lane.stages]
        if self.levels > len(names):
            raise ValueError(
                f"PLE: levels={self.levels} are more than the stages of {trunk!r}, which has {len(names)}: "
                f"{', '.join(names)}."
            )
        return [part.tolist() for part in np.array_split(np.arange(len(names)), self.levels)]


class _Level:
    """One level: its stages in every expert, and the mixtures at its end."""

    def __init__(self, scheme: PLE, gates: Gates, number: int, places: Sequence[int]) -> None:
        self.gates, self.number, self.places = gates, number, places
        self.single, self.last = scheme.levels == 1, number == scheme.levels
        self.orthogonality = scheme.orthogonality if self.last else 0.0
        self.passed: list[Flow] = []  # The flows of the first shared expert after each stage.

    def run(self, paths: Mapping[str | None, list[Lane]], inputs: Any) -> None:
        """Takes the experts of all paths, by task and `None`, through the level."""
        before = {path: own[0].flow for path, own in paths.items()}
        experts = [lane for own in paths.values() for lane in own]
        for place in self.places:
            for lane in experts:
                lane.run(place)
            self.passed.append(paths[_SHARED][0].flow)
        seen = self._seen(before, experts[0].trunk, inputs)
        for path, own in paths.items():
            for lane in own:
                self._normalize(lane, before[path])
        if self.orthogonality:
            for lane in [lane for path, own in paths.items() if path is not _SHARED for lane in own]:
                self._keep_apart(lane, [other.flow.x for other in paths[_SHARED]])
        after = {}
        for path, own in paths.items():
            if path is _SHARED and self.last:
                continue
            among = experts if path is _SHARED else [*own, *paths[_SHARED]]
            weights = self.gates.weights(self._name(path, "gate"), seen[path], len(among))
            after[path] = self._mixed(path, weights, [lane.flow for lane in among], own[0].flow, before[path])
        for path, flow in after.items():
            for lane in paths[path]:
                lane.flow = flow

    def _name(self, path: str | None, what: str) -> str:
        name = what if path is _SHARED else f"{path}_{what}"
        return name if self.single else f"{name}_{self.number}"

    def _seen(self, before: Mapping[str | None, Flow], trunk: Any, inputs: Any) -> dict[str | None, Any]:
        """Returns what the gate of each path sees."""
        if self.number > 1:
            return {
                path: pooled(flow.x, self._name(path, "gate_pool"), _mask_beside(flow))
                for path, flow in before.items()
            }
        seen = self.gates.seen(inputs, trunk)
        if seen is None:
            taps = self.passed[-1].taps
            name = type(trunk).__name__
            tap = self.gates.tap(taps, name if self.single else f"level 1 of {name}")
            name = next(name for name, x in taps.items() if x is tap)
            # Later stages may have fewer steps, and another mask.
            flow = next(flow for flow in self.passed if name in flow.taps)
            seen = pooled(tap, "gate_pool", _mask_beside(flow))
        return dict.fromkeys(before, seen)

    def _normalize(self, lane: Lane, before: Flow) -> None:
        """Normalises what an expert gives to the mixtures of the level."""

        def norm(tensors: list[Any], label: str) -> Any:
            return self.gates.expert(tensors[0], f"{lane.name}_norm_{self.number}{label}")

        lane.flow = _each_new(norm, [lane.flow], lane.flow, before)

    def _keep_apart(self, lane: Lane, shared: list[Any]) -> None:
        """Has an expert of a task give what varies otherwise than what shared ones give."""
        flow = lane.flow
        layer = Orthogonality(self.orthogonality, name=f"{lane.name}_orthogonality")
        x = layer([flow.x, *shared], present=_mask_beside(flow) if len(flow.x.shape) == 3 else None)
        lane.flow = flow.to(x, taps={name: x for name, tap in flow.taps.items() if tap is flow.x})

    def _mixed(self, path: str | None, weights: Any, flows: list[Flow], own: Flow, before: Flow) -> Flow:
        """Returns the mixture of the flows of some experts, the first of the path's own among them."""

        def mixture(tensors: list[Any], label: str) -> Any:
            return mix(weights, tensors, f"{self._name(path, 'mixture')}{label}")

        cuts = {id(x): x for flow in flows for x in flow.cuts}
        flow = _each_new(mixture, flows, own, before)
        return dataclasses.replace(flow, cuts=tuple(cuts.values())).cut()


def _each_new(function: Any, flows: list[Flow], own: Flow, before: Flow) -> Flow:
    """Returns a flow with what a function makes of the floats that are new since an earlier flow.

    Masks and whole numbers, which are the same in all, stay; so do the taps of earlier levels.

    Args:
        function: Takes a list of tensors, one of each flow, and an ending of a layer's name.
        flows: The flows.
        own: The one from which all else is taken.
        before: The earlier flow.
    """
    if not isinstance(own.x, keras.KerasTensor) or not is_float(own.x):
        raise ValueError(
            f"PLE: each level must end with one tensor of floats, which gates can mix; received {own.x!r}. "
            "Take fewer levels."
        )
    made: dict[int, Any] = {}

    def each(tensors: list[Any], label: str) -> Any:
        first = id(tensors[0])
        if first not in made:
            made[first] = function(tensors, label)
        return made[first]

    def new(part: str) -> dict[str, Any]:
        found, old = getattr(own, part), getattr(before, part)
        return {
            name: each([getattr(flow, part)[name] for flow in flows], f"_{name}")
            for name, tensor in found.items()
            if tensor is not old.get(name) and is_float(tensor)
        }

    x = each([flow.x for flow in flows], "")
    return own.to(x, beside=new("beside"), taps=new("taps"))


def _mask_beside(flow: Flow) -> Any:
    """Returns the mask of a flow's sequence: the bools a step that were put beside it last, if any."""
    masks = [x for x in flow.beside.values() if len(x.shape) == 2 and x.dtype == "bool"]
    return masks[-1] if masks else None
