"""What schemes with gates have in common: the gates' fields, what they see, and the mixing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._fields import check_choice, check_positive
from mtlkeras.layers.gates import DSelectKGate, GateEntropy, SoftmaxGate
from mtlkeras.layers.mixture import Mixture
from mtlkeras.layers.pooling import MaskedMean
from mtlkeras.sharing.base import Sharing
from mtlkeras.specs import SpecT, tunable
from mtlkeras.trunks._apart import sources

AUTO = "auto"
_OF_DSELECT_K = {"k": None, "gamma": 1.0, "entropy_penalty": 0.0}


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class Gated(Sharing):
    """Base of the schemes in which gates mix experts.

    Args:
        gate: `"softmax"`: every expert has some weight (Ma et al. 2018). `"dselect_k"`: at most `k` have,
            once the gate has settled (Hazimeh et al. 2021; `mtlkeras.layers.DSelectKGate`).
        k: Of `"dselect_k"`, the most experts that a gate picks; `None` for 2, or 1 of 1.
        gamma: Of `"dselect_k"`, the width of its smooth step.
        entropy_penalty: Of `"dselect_k"`, the factor of the selectors' entropy among the losses, by which
            they settle sooner; the paper chooses it among 0 and powers of ten.
        temperature: What the logits of a gate's softmax are divided by: above 1 weights are more alike, below
            1 less.
        gate_dropout: Rate at which a gate leaves experts out in training, the weights of the others scaled to
            add up to one (Zhao et al. 2019).
        gate_sees: `"auto"`: the inputs where they are vectors of numbers that the trunk takes as they are,
            as in the papers, else the first tap of the first shared expert, pooled. Or the name of a tap,
            which is pooled in place of that.
        normalize_experts: Whether what an expert gives is layer-normalised, for each expert by itself.
        log_gates: Whether the mean entropy of each gate is logged, in nats, as `<gate>_entropy`: 0 where a
            gate gives all to one expert, the logarithm of their number where it gives each the same.
    """

    gate: str = tunable("softmax", "softmax", "dselect_k")
    k: int | None = None
    gamma: float = 1.0
    entropy_penalty: float = 0.0
    temperature: float = tunable(1.0, 0.5, 1.0, 2.0)
    gate_dropout: float = tunable(0.0, 0.0, 0.1, 0.2)
    gate_sees: str = AUTO
    normalize_experts: bool = tunable(False, False, True)
    log_gates: bool = False

    @property
    def mixed(self) -> int:
        """How many experts the gate of a task mixes."""
        raise NotImplementedError(f"{type(self).__name__} does not define mixed.")

    def validate(self) -> None:
        name = type(self).__name__
        check_choice(self, "gate", ("softmax", "dselect_k"))
        for field, default in _OF_DSELECT_K.items():
            if self.gate != "dselect_k" and getattr(self, field) != default:
                raise ValueError(
                    f"{name}: {field} is of gate='dselect_k'; received {field}={getattr(self, field)!r} with "
                    f"gate='{self.gate}'."
                )
        if self.k is not None:
            check_positive(self, "k")
            if self.k > self.mixed:
                raise ValueError(
                    f"{name}: k must be at most the number of experts that a gate mixes, {self.mixed}; "
                    f"received {self.k}."
                )
        for field in ("temperature", "gamma"):
            if not getattr(self, field) > 0:
                raise ValueError(
                    f"{name}: {field} must be greater than zero; received {getattr(self, field)!r}."
                )
        if not self.entropy_penalty >= 0:
            raise ValueError(
                f"{name}: entropy_penalty must not be negative; received {self.entropy_penalty!r}."
            )
        if not 0 <= self.gate_dropout < 1:
            raise ValueError(f"{name}: gate_dropout must be in [0, 1); received {self.gate_dropout!r}.")

    @classmethod
    def tune(cls: type[SpecT], hp: Any, **fixed: Any) -> SpecT:
        """As for every spec; where the gate is `"dselect_k"`, `k` is drawn too.

        A `k`, `gamma` or `entropy_penalty` that is fixed makes the gate `"dselect_k"`.

        Args:
            hp: A `keras_tuner.HyperParameters`.
            **fixed: Fields to hold at a value.
        """
        if any(fixed.get(field, default) != default for field, default in _OF_DSELECT_K.items()):
            fixed.setdefault("gate", "dselect_k")
        drawn: Any = super().tune(hp, **fixed)  # type: ignore[misc]
        if drawn.gate == "dselect_k" and "k" not in fixed:
            most = min(2, drawn.mixed)
            return drawn.replace(k=hp.Choice("k", list(range(1, most + 1)), default=most))
        return drawn


class Gates:
    """Makes the gates of one model, and what they mix.

    Args:
        scheme: The scheme.
    """

    def __init__(self, scheme: Gated) -> None:
        self.scheme = scheme
        self._entropies: dict[str, tuple[Any, Any]] = {}

    def weights(self, name: str, seen: Any, count: int) -> Any:
        """Returns the weights of so many experts, made by a gate of a name."""
        scheme = self.scheme
        given: dict[str, Any] = {
            "experts": count,
            "temperature": scheme.temperature,
            "dropout": scheme.gate_dropout,
            "name": name,
        }
        if scheme.gate == "softmax":
            weights = SoftmaxGate(**given)(seen)
        else:
            k = scheme.k or min(2, count)
            gate = DSelectKGate(k=k, gamma=scheme.gamma, entropy_penalty=scheme.entropy_penalty, **given)
            weights = gate(seen)
        if scheme.log_gates:
            entropy = f"{name}_entropy"
            self._entropies[entropy] = weights, GateEntropy(name=entropy)(weights)
        return weights

    def entropies(self, reads: Mapping[str, Mapping[Any, Any]]) -> dict[str, Any]:
        """Returns the entropies of the gates on which something depends that tasks read."""
        needed = sources([x for found in reads.values() for x in found.values()])
        return {name: x for name, (weights, x) in self._entropies.items() if id(weights) in needed}

    def expert(self, tensor: Any, name: str) -> Any:
        """Returns what an expert gives, normalised if it is to be."""
        return keras.layers.LayerNormalization(name=name)(tensor) if self.scheme.normalize_experts else tensor

    def seen(self, inputs: Any, trunk: Any) -> Any:
        """Returns the inputs in a row if gates see them, else `None`.

        Args:
            inputs: The inputs.
            trunk: The trunk that reads them.
        """
        if self.scheme.gate_sees != AUTO or getattr(trunk, "prepares_inputs", False):
            return None
        flat = keras.tree.flatten(inputs)
        if not all(len(x.shape) == 2 and is_float(x) for x in flat):
            return None
        return flat[0] if len(flat) == 1 else keras.layers.Concatenate(name="gate_inputs")(flat)

    def tap(self, taps: Any, where: str) -> Any:
        """Returns the tap that gates see.

        Args:
            taps: Tensors by name.
            where: What has them, for the error message.
        """
        name = self.scheme.gate_sees
        if name == AUTO:
            return next(iter(taps.values()))
        if name not in taps:
            raise unknown_name("tap", name, taps, f"gate_sees of {type(self.scheme).__name__} on {where}")
        return taps[name]


def mix(weights: Any, tensors: Sequence[Any], name: str) -> Any:
    """Returns the mixture of tensors."""
    return Mixture(name=name)([weights, *tensors])


def is_float(tensor: Any) -> bool:
    """Returns whether a symbolic tensor holds floats."""
    return keras.backend.is_float_dtype(tensor.dtype)


def pooled(values: Any, name: str, mask: Any = None) -> Any:
    """Returns a map or sequence as vectors: means over places, or over the steps that a mask leaves."""
    if len(values.shape) == 2:
        return values
    if len(values.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name=name)(values)
    return MaskedMean(name=name)(values, mask=mask)  # Which is no NaN for a text without tokens.
