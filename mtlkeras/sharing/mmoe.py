"""Multi-gate mixture of experts: several trunks, mixed for each task by a gate of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._fields import check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.heads import Head
from mtlkeras.layers.mixture import Mixture
from mtlkeras.sharing.base import (
    Reading,
    Shared,
    Sharing,
    makes_weights,
    name_of,
    open_trunk,
    read_by,
)
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks._remat import model_with_cuts
from mtlkeras.trunks.base import Trunk


@spec
class MMoE(Sharing):
    """Each task reads its own mixture of several trunks, the experts (Ma et al. 2018, equations 5 to 7).

    f_k(x) = sum over the experts i of g_k(x)_i f_i(x), with g_k(x) = softmax(W_k h(x)). Every expert is a
    trunk of the one spec with weights of its own. What the gates see, h(x), are the inputs themselves where
    they are vectors of numbers, as in the paper, else the pooled first tap of the first expert.

    Args:
        experts: Number of experts.

    Raises:
        ValueError: When called, if the trunk is a `keras.Model`, which there is one of only.

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

    def validate(self) -> None:
        check_positive(self, "experts")

    def __call__(
        self, trunk: Trunk | keras.Model, inputs: Tensor | NamedTensors, heads: Mapping[str, Head]
    ) -> Shared:
        if not makes_weights(trunk):
            given = repr(trunk) if isinstance(trunk, Trunk) else f"the model '{trunk.name}'"
            raise ValueError(
                f"MMoE: the experts are trunks of one spec, such as mtlkeras.trunks.MLP(); received {given}, "
                f"of which there is one only."
            )
        inner = as_inner(inputs)
        experts: list[dict[str, Any]] = []
        readings: dict[str, list[Reading]] = {}
        for number in range(1, self.experts + 1):
            outputs, readings = self._expert(trunk, inner, heads, number)
            experts.append(outputs)
        columns = _columns(inner)
        seen = experts[0].pop("gate") if columns is None else _in_a_row(columns)
        mixed: dict[str, dict[Reading, Any]] = {}
        for task, found in readings.items():
            gate = keras.layers.Dense(self.experts, "softmax", name=f"{task}_gate", dtype="float32")(seen)
            mixed[task] = {}
            for reading in found:
                name = name_of(reading)
                of_task = task if len(found) == 1 else f"{task}_{name}"
                mixture = Mixture(name=f"{of_task}_mixture")
                mixed[task][reading] = mixture([gate, *(outputs[name] for outputs in experts)])
        return self.shared(trunk, inner, inputs, mixed, experts[0].get("mask"))

    def _expert(
        self, trunk: Trunk, inputs: Any, heads: Mapping[str, Head], number: int
    ) -> tuple[dict[str, Any], dict[str, list[Reading]]]:
        """Returns what the heads read of an expert, and of the first what the gates see if not the inputs."""
        seed = getattr(trunk, "seed", None)
        if seed is not None:  # Experts that begin alike would stay alike.
            trunk = trunk.replace(seed=seed + number - 1)
        inner, features = open_trunk(trunk, inputs)
        outputs, readings = read_by(heads, features)
        if number == 1 and _columns(inner) is None:
            outputs["gate"] = _pooled(features)
        expert = model_with_cuts(inner, outputs, features.cuts, name=f"expert_{number}")
        return dict(expert(inputs)), readings


def _columns(inputs: Any) -> list[Any] | None:
    """Returns the inputs if they are vectors of floats, else `None`."""
    flat = keras.tree.flatten(inputs)
    vectors = all(len(x.shape) == 2 and keras.backend.is_float_dtype(x.dtype) for x in flat)
    return flat if vectors else None


def _in_a_row(columns: list[Any]) -> Any:
    return columns[0] if len(columns) == 1 else keras.layers.Concatenate(name="gate_inputs")(columns)


def _pooled(features: Features) -> Any:
    tap = next(iter(features.taps))
    values = features.taps[tap]
    if len(values.shape) == 2:
        return values
    # Named apart from the pools of heads that sit at the tap.
    if len(values.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="gate_pool")(values)
    return keras.layers.GlobalAveragePooling1D(name="gate_pool")(values, mask=features.mask)
