"""A linear chain by enumeration of all its paths, in float64: what the recursions must agree with."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np


@dataclasses.dataclass
class Potentials:
    """Scores of a chain; a score of `-inf` forbids."""

    transitions: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def random(cls, rng: np.random.Generator, states: int, scale: float = 1.0) -> Potentials:
        shapes = (states, states), (states,), (states,)
        # Rounded as the layer's weights are, so that the two work on the same numbers.
        return cls(*[rng.normal(size=s, scale=scale).astype("float32").astype("float64") for s in shapes])

    def without(self, allowed: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Potentials:
        scores = (self.transitions, self.start, self.end)
        return Potentials(*[np.where(a, s, -np.inf) for s, a in zip(scores, allowed, strict=True)])


class Paths:
    """All paths of one sequence.

    Args:
        potentials: The chain's.
        emissions: Shape `(time, states)`.
        mask: Bool, shape `(time,)`: the steps that exist.
    """

    def __init__(self, potentials: Potentials, emissions: np.ndarray, mask: np.ndarray) -> None:
        self.emissions, self.mask, self.shape = emissions, mask, emissions.shape
        self.steps = np.flatnonzero(mask)
        states = range(emissions.shape[1])
        self.paths = np.array(list(itertools.product(states, repeat=len(self.steps))), dtype="int64")
        paths = self.paths
        self.scores = emissions[self.steps, paths].sum(axis=1) if len(self.steps) else np.zeros(1)
        if len(self.steps):
            self.scores = self.scores + potentials.start[paths[:, 0]] + potentials.end[paths[:, -1]]
            self.scores = self.scores + potentials.transitions[paths[:, :-1], paths[:, 1:]].sum(axis=1)

    def score(self, tags: np.ndarray) -> float:
        """Of one path, given for all steps of the sequence and those that do not exist."""
        return float(self.scores[(self.paths == tags[self.steps]).all(axis=1)][0])

    def log_partition(self) -> float:
        return float(np.logaddexp.reduce(self.scores))

    def log_likelihood(self, tags: np.ndarray) -> float:
        """Of the tags that are known; one below 0 is not."""
        wanted = tags[self.steps]
        fits = ((self.paths == wanted) | (wanted < 0)).all(axis=1)
        return float(np.logaddexp.reduce(self.scores[fits])) - self.log_partition()

    def marginals(self) -> np.ndarray:
        found = np.zeros(self.shape)
        for path, probability in zip(self.paths, np.exp(self.scores - self.log_partition()), strict=True):
            found[self.steps, path] += probability
        return found

    def best(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the k best paths, `(k, time)` with 0 where there is no step, and their scores."""
        order = np.argsort(-self.scores, kind="stable")[:k]
        order = order[self.scores[order] > -np.inf]
        tags = np.zeros((len(order), self.shape[0]), dtype="int64")
        tags[:, self.steps] = self.paths[order]
        return tags, self.scores[order]
