"""What the states of an HMM emit: how likely an observation is in each state, and fits in closed form."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras.layers._chain import IMPOSSIBLE, are_scores, as_int32, int32

_SPREAD = 0.5  # Of the first weights, which must differ between the states for anything to be learnt.


def log_normalised(counts: np.ndarray, smoothing: float, before: np.ndarray) -> np.ndarray:
    """Returns log probabilities of counts along the last axis; rows without any stay as before.

    Args:
        counts: Shape `(..., outcomes)`.
        smoothing: Added to each count.
        before: Logits in the shape of the counts.
    """
    counts = np.asarray(counts, "float64") + smoothing
    total = counts.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.maximum(np.log(counts / total), IMPOSSIBLE)
    return np.where(total > 0, logs, before)


class Emissions:
    """The base: emissions that are given, as scores of each state at each step."""

    kind = "scores"
    input_rank = 3
    is_checked_ahead = False  # Whether observations that can be read are checked before anything is computed.

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @property
    def expected(self) -> str:
        """The observations' shape, for errors."""
        return f"(batch, time, {self.layer.num_states})"

    def width(self) -> int | None:
        """Returns the size of the observations' last axis, if they have one."""
        return self.layer.num_states

    def build(self) -> None:
        """Adds the layer's weights."""

    def read(self, x: Any) -> Any:
        """Returns observations as they are computed with."""
        return ops.cast(x, "float32")

    def is_valid(self, x: Any) -> Any:
        """Returns where observations, as `read` gives them, can be; bool of their shape."""
        return are_scores(x)

    def log_probabilities(self, x: Any) -> Any:
        """Returns log p(observation | state), float32 of shape `(batch, time, states)`."""
        return x

    def check(self, x: np.ndarray) -> None:
        """Raises `ValueError` for observations, of shape `(steps, ...)`, that cannot be."""
        if not (x < np.inf).all():
            raise ValueError(
                f"HMM '{self.layer.name}': scores must be numbers below infinity where the mask has a step."
            )

    def initialize(self, x: np.ndarray, rng: np.random.Generator) -> None:
        """Sets first values for observations of shape `(steps, ...)`."""

    def fit(self, x: np.ndarray, weights: np.ndarray, smoothing: float) -> None:
        """Sets the maximum-likelihood values.

        Args:
            x: Observations, shape `(steps, ...)`.
            weights: How much each counts for each state, float64 of shape `(steps, states)`.
            smoothing: Added to counts.
        """

    def probabilities(self) -> dict[str, np.ndarray]:
        """Returns the parameters by name."""
        return {}

    def assign(self, values: dict[str, np.ndarray]) -> None:
        """Sets those of the parameters that are named."""


class DiscreteEmissions(Emissions):
    """One of a set of symbols; -1 is a symbol that is not known."""

    kind = "discrete"
    input_rank = 2
    is_checked_ahead = True

    @property
    def expected(self) -> str:
        return "(batch, time) of whole numbers"

    def width(self) -> int | None:
        return None

    def build(self) -> None:
        layer = self.layer
        self.logits = layer.add_weight(
            (layer.num_states, layer.num_symbols),
            name="emission_logits",
            initializer=keras.initializers.RandomNormal(0.0, _SPREAD, layer.seed),
        )

    def read(self, x: Any) -> Any:
        return as_int32(x, self.layer.num_symbols)

    def is_valid(self, x: Any) -> Any:
        return ops.logical_and(x >= -1, x < self.layer.num_symbols)

    def log_probabilities(self, x: Any) -> Any:
        found = ops.take(
            ops.transpose(ops.log_softmax(self.logits, axis=1)), int32(ops.maximum(x, 0)), axis=0
        )
        return ops.where((x >= 0)[:, :, None], found, 0.0)

    def check(self, x: np.ndarray) -> None:
        wrong = (x < -1) | (x >= self.layer.num_symbols) | (x != np.floor(x))
        if wrong.any():
            raise ValueError(
                f"HMM '{self.layer.name}': symbol {x[wrong][0]} is outside 0 to {self.layer.num_symbols - 1} "
                f"(number of such symbols: {int(wrong.sum())})."
            )

    def initialize(self, x: np.ndarray, rng: np.random.Generator) -> None:
        x = x[x >= 0].astype("int64")
        shares = np.bincount(x, minlength=self.layer.num_symbols) + 1.0
        noise = rng.normal(0.0, _SPREAD, self.logits.shape)
        self.logits.assign(np.log(shares / shares.sum()) + noise)

    def fit(self, x: np.ndarray, weights: np.ndarray, smoothing: float) -> None:
        is_given = x >= 0
        x, weights = x[is_given].astype("int64"), weights[is_given]
        size = self.layer.num_symbols
        counts = np.stack([np.bincount(x, weight, minlength=size) for weight in weights.T])
        self.logits.assign(log_normalised(counts, smoothing, ops.convert_to_numpy(self.logits)))

    def probabilities(self) -> dict[str, np.ndarray]:
        return {"emissions": ops.convert_to_numpy(ops.exp(ops.log_softmax(self.logits, axis=1)))}

    def assign(self, values: dict[str, np.ndarray]) -> None:
        if "emissions" in values:
            self.logits.assign(log_normalised(values["emissions"], 0.0, np.zeros(1)))


class GaussianEmissions(Emissions):
    """Numbers, independent of each other within a state."""

    kind = "gaussian"

    @property
    def expected(self) -> str:
        return f"(batch, time, {self.layer.num_features})"

    def width(self) -> int | None:
        return self.layer.num_features

    def build(self) -> None:
        layer = self.layer
        shape = (layer.num_states, layer.num_features)
        spread = keras.initializers.RandomNormal(0.0, _SPREAD, layer.seed)
        self.means = layer.add_weight(shape, name="means", initializer=spread)
        self.log_variances = layer.add_weight(shape, name="log_variances", initializer="zeros")

    def is_valid(self, x: Any) -> Any:
        return ops.isfinite(x)

    def _log_variances(self) -> Any:
        return ops.maximum(self.log_variances, math.log(self.layer.min_variance))

    def log_probabilities(self, x: Any) -> Any:
        logs = self._log_variances()
        apart = x[:, :, None, :] - self.means
        return -0.5 * ops.sum(apart * apart * ops.exp(-logs) + logs + math.log(2 * math.pi), axis=-1)

    def check(self, x: np.ndarray) -> None:
        if not np.isfinite(x).all():
            raise ValueError(
                f"HMM '{self.layer.name}': observations must be finite where the mask has a step."
            )

    def initialize(self, x: np.ndarray, rng: np.random.Generator) -> None:
        # As k-means++: each mean an observation, the more likely the farther from those before
        # (Arthur and Vassilvitskii 2007), in units of the spread of each feature.
        spread = np.maximum(x.std(axis=0), math.sqrt(self.layer.min_variance))
        chosen = [x[rng.integers(len(x))]]
        while len(chosen) < self.layer.num_states:
            far = np.min([(((x - mean) / spread) ** 2).sum(axis=1) for mean in chosen], axis=0)
            shares = far / far.sum() if far.sum() > 0 else np.full(len(x), 1.0 / len(x))
            chosen.append(x[rng.choice(len(x), p=shares)])
        self.means.assign(np.array(chosen))
        self.log_variances.assign(np.broadcast_to(2.0 * np.log(spread), self.log_variances.shape))

    def fit(self, x: np.ndarray, weights: np.ndarray, smoothing: float) -> None:
        x = x.astype("float64")
        total = weights.sum(axis=0)
        is_seen = (total > 0)[:, None]
        shares = weights / np.where(total > 0, total, 1.0)
        means = shares.T @ x
        variances = np.stack([share @ (x - mean) ** 2 for share, mean in zip(shares.T, means, strict=True)])
        logs = np.log(np.maximum(variances, self.layer.min_variance))
        self.means.assign(np.where(is_seen, means, ops.convert_to_numpy(self.means)))
        self.log_variances.assign(np.where(is_seen, logs, ops.convert_to_numpy(self.log_variances)))

    def probabilities(self) -> dict[str, np.ndarray]:
        return {
            "means": ops.convert_to_numpy(self.means),
            "variances": ops.convert_to_numpy(ops.exp(self._log_variances())),
        }

    def assign(self, values: dict[str, np.ndarray]) -> None:
        if "means" in values:
            self.means.assign(values["means"])
        if "variances" in values:
            self.log_variances.assign(np.log(values["variances"]))


EMISSIONS = {cls.kind: cls for cls in (DiscreteEmissions, GaussianEmissions, Emissions)}
