"""Multi-gate mixture of experts: several trunks, mixed for each task by a gate of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._fields import check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.heads import Head
from mtlkeras.sharing._gated import Gated, Gates, mix, pooled
from mtlkeras.sharing._lanes import check_copies, reseeded
from mtlkeras.sharing.base import Reading, Shared, name_of, open_trunk, read_by
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks._remat import model_with_cuts
from mtlkeras.trunks.base import Trunk

_SEEN = "gate"


@spec
class MMoE(Gated):
    """Each task reads its own mixture of several trunks, the experts (Ma et al. 2018, equations 5 to 7).

    f_k(x) = sum over the experts i of g_k(x)_i f_i(x), with g_k(x) = softmax(W_k h(x)). Every expert is a
    trunk of the one spec with weights of its own. What the gates see, h(x), are the inputs themselves where
    they are vectors of numbers, as in the paper, else the pooled first tap of the first expert. A gate is the
    layer `<task>_gate` of `model.trunk`, an expert `expert_1`, `expert_2`, ...; `mtlkeras.analysis.gates`
    gives the weights.

    Args:
        experts: Number of experts.
        gate: `"softmax"`, or `"dselect_k"`: at most `k` experts have weight once the gate has settled
            (Hazimeh et al. 2021; `mtlkeras.layers.DSelectKGate`).
        k: Of `"dselect_k"`, the most experts that a gate picks; `None` for 2, or 1 of 1.
        gamma: Of `"dselect_k"`, the width of its smooth step.
        entropy_penalty: Of `"dselect_k"`, the factor of the selectors' entropy among the losses.
        temperature: What the logits of a gate's softmax are divided by.
        gate_dropout: Rate at which a gate leaves experts out in training (Zhao et al. 2019), in [0, 1).
        gate_sees: `"auto"` as above, or the name of a tap, pooled.
        normalize_experts: Whether what an expert gives is layer-normalised.
        log_gates: Whether each gate's mean entropy is logged, in nats, as `<task>_gate_entropy`.

    Raises:
        ValueError: If a field does not fit; when called, if the trunk is a `keras.Model`, which there is one
            of only, or has not the tap that gates are to see.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(8,),
        trunk=mtlkeras.trunks.MLP(depth=1, width=16),
        heads={"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Classification(3)},
        sharing=mtlkeras.sharing.MMoE(experts=3),
    )
    ```
    """

    experts: int = tunable(4, 2, 4, 8)

    @property
    def mixed(self) -> int:
        return self.experts

    def validate(self) -> None:
        check_positive(self, "experts")
        super().validate()

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        check_copies("MMoE", trunk)
        inner = as_inner(inputs)
        gates = Gates(self)
        seen = gates.seen(inner, trunk)
        experts: list[dict[str, Any]] = []
        readings: dict[str, list[Reading]] = {}
        for number in range(self.experts):
            with_tap = number == 0 and seen is None
            outputs, readings = self._expert(gates, trunk, inner, heads, number, with_tap)
            experts.append(outputs)
        seen = experts[0].pop(_SEEN) if seen is None else seen
        mask = experts[0].get("mask")
        for number, outputs in enumerate(experts, 1):
            for name in outputs.keys() - {"mask"}:
                outputs[name] = gates.expert(outputs[name], f"expert_{number}_{name}_norm")
        mixed: dict[str, dict[Reading, Any]] = {}
        for task, found in readings.items():
            weights = gates.weights(f"{task}_gate", seen, self.experts)
            mixed[task] = {}
            for reading in found:
                name = name_of(reading)
                mixture = f"{task}_mixture" if len(found) == 1 else f"{task}_mixture_{name}"
                mixed[task][reading] = mix(weights, [outputs[name] for outputs in experts], mixture)
        return self.shared(trunk, inner, inputs, mixed, mask, watched=gates.entropies(mixed))

    def _expert(
        self, gates: Gates, trunk: Any, inputs: Any, heads: Mapping[str, Head], number: int, with_tap: bool
    ) -> tuple[dict[str, Any], dict[str, list[Reading]]]:
        """Returns what the heads read of an expert, and with it the tap that the gates see."""
        inner, features = open_trunk(reseeded(trunk, number), inputs)
        outputs, readings = read_by(heads, features)
        if with_tap:
            tap = gates.tap(features.taps, repr(trunk))
            # Named apart from the pools of heads that sit at the tap.
            outputs[_SEEN] = pooled(tap, "gate_pool", features.mask)
        expert = model_with_cuts(inner, outputs, features.cuts, name=f"expert_{number + 1}")
        return dict(expert(inputs)), readings
