"""Fits of an HMM outside of gradient training: by counting, and by expectation maximisation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._backends import compiled
from mtlkeras.layers._chain import (
    IMPOSSIBLE,
    Expectations,
    check_states,
    clamped,
    clamped_log_partition,
    expectations,
)
from mtlkeras.layers._emissions import log_normalised


class Observations:
    """Observations of sequences, their mask and the states that are known, as arrays.

    Args:
        layer: The HMM.
        x: Observations.
        mask: Shape `(batch, time)`, or `None` for all steps.
        states: Shape `(batch, time)`, -1 for what is not known; `None` if nothing is.

    Raises:
        ValueError: If shapes do not fit each other or the layer, or values are out of range.
    """

    def __init__(self, layer: Any, x: Any, mask: Any, states: Any) -> None:
        self.x = ops.convert_to_numpy(x)
        layer.check_shape(self.x)
        shape = self.x.shape[:2]
        self.mask = np.ones(shape, bool) if mask is None else ops.convert_to_numpy(mask).astype(bool)
        self.states = np.full(shape, -1, "int32") if states is None else ops.convert_to_numpy(states)
        for name, value in (("mask", self.mask), ("states", self.states)):
            if value.shape != shape:
                raise ValueError(
                    f"HMM '{layer.name}': expected {name} of shape {shape} as the observations; "
                    f"received {value.shape}."
                )
        check_states(f"HMM '{layer.name}'", "state", self.states, layer.num_states, True, self.mask)
        self.states = np.where(self.mask, self.states, -1).astype("int32")
        self.steps = self.x[self.mask]
        if not len(self.steps):
            raise ValueError(f"HMM '{layer.name}': there is no step to learn from.")
        layer.emission.check(self.steps)

    def batches(self, size: int) -> Any:
        """Yields `(x, mask, states)` of one size, the last filled up with empty sequences."""
        size = min(size, len(self.x))
        parts = (self.x, self.mask, self.states)
        for begin in range(0, len(self.x), size):
            yield [
                np.pad(part, [(0, max(0, begin + size - len(part)))] + [(0, 0)] * (part.ndim - 1))
                if begin + size > len(part)
                else part
                for part in (whole[begin : begin + size] for whole in parts)
            ]


def count(observations: Observations, num_states: int) -> Expectations:
    """Returns how often states that are known are first, last, emit and follow each other, in float64."""
    mask, states = observations.mask, observations.states
    order = np.argsort(~mask, axis=1, kind="stable")
    path, lengths = np.take_along_axis(states, order, axis=1), mask.sum(axis=1)

    def counted(found: np.ndarray, size: int) -> np.ndarray:
        return np.bincount(found[found >= 0], minlength=size).astype("float64")

    before, after = path[:, :-1], path[:, 1:]
    is_pair = (before >= 0) & (after >= 0)  # States are -1 where there is no step.
    pairs = counted(before[is_pair] * num_states + after[is_pair], num_states**2)
    last = np.take_along_axis(path, np.maximum(lengths - 1, 0)[:, None], axis=1)[:, 0]
    emitted = np.eye(num_states)[np.maximum(states[mask], 0)] * (states[mask] >= 0)[:, None]
    return Expectations(
        emitted, pairs.reshape(num_states, -1), counted(path[:, 0], num_states), counted(last, num_states)
    )


class ExpectationStep:
    """The E-step of an HMM: the likelihood of sequences and the expectations of what they pass."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._run = compiled(self._compute)

    def _compute(self, weights: list, x: Any, mask: Any, states: Any) -> Any:
        layer = self._layer
        with keras.StatelessScope(state_mapping=list(zip(layer.weights, weights, strict=True))):
            inputs = layer.read(x, mask)
            chain, packing = layer.chain(inputs.values), inputs.packing
            found = expectations(clamped(chain, states), packing)
            return clamped_log_partition(chain, states, packing), tuple(found)

    def __call__(self, observations: Observations, batch_size: int) -> tuple[np.ndarray, Expectations]:
        """Returns the log-likelihood of each sequence, and expectations in float64 over all of them."""
        weights = [ops.convert_to_tensor(weight) for weight in self._layer.weights]
        logs, found = [], []
        for x, mask, states in observations.batches(batch_size):
            values, parts = self._run(weights, *map(ops.convert_to_tensor, (x, mask, states)))
            logs.append(np.asarray(values, "float64"))
            numbers = [np.asarray(part, "float64") for part in parts]
            found.append([numbers[0][mask], *numbers[1:]])
        emitted, *counts = zip(*found, strict=True)
        return (
            np.concatenate(logs)[: len(observations.x)],
            Expectations(np.concatenate(emitted), *[np.sum(part, axis=0) for part in counts]),
        )


def maximise(
    layer: Any,
    observations: Observations,
    expected: Expectations,
    smoothing: float,
    emission_smoothing: float | None,
) -> None:
    """The M-step of an HMM: sets the parameters that are most likely for expectations, or for counts."""
    pairs = expected.pairs
    if layer.final:
        pairs = np.concatenate([pairs, expected.end[:, None]], axis=1)
    for logits, counts in ((layer.start_logits, expected.start), (layer.transition_logits, pairs)):
        logits.assign(log_normalised(counts, smoothing, ops.convert_to_numpy(logits)))
    emission_smoothing = smoothing if emission_smoothing is None else emission_smoothing
    layer.emission.fit(observations.steps, expected.states, emission_smoothing)


def climb(
    layer: Any,
    expectation_step: ExpectationStep,
    observations: Observations,
    iterations: int,
    tolerance: float,
    smoothing: float,
    batch_size: int,
) -> list[float]:
    """Alternates E-steps and M-steps and returns the log-likelihoods, as `HMM.fit_em` says."""
    history: list[float] = []
    for _ in range(iterations + 1):
        logs, expected = expectation_step(observations, batch_size)
        _check_likelihoods(layer, logs)
        history.append(float(logs.sum()))
        gain = history[-1] - history[-2] if len(history) > 1 else np.inf
        if gain < tolerance * len(observations.steps) or len(history) > iterations:
            break
        maximise(layer, observations, expected, smoothing, smoothing)
    return history


def _check_likelihoods(layer: Any, logs: np.ndarray) -> None:
    if np.isnan(logs).any():
        raise ValueError(f"HMM '{layer.name}': the weights are not finite: set others (initialize).")
    if logs.min() < IMPOSSIBLE / 10:
        raise ValueError(
            f"HMM '{layer.name}': sequence {int(logs.argmin())} cannot be under the current weights: "
            "start from others (initialize), or from counts with smoothing."
        )
