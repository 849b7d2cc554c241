"""A model with a head of every kind, labels for it, and what NumPy makes of both."""

from __future__ import annotations

import itertools

import keras
import numpy as np

import mtlkeras
from mtlkeras.features import Features
from mtlkeras.heads import (
    Classification,
    CRFTagging,
    HMMTagging,
    MultiLabel,
    Ordinal,
    Regression,
    Tagging,
)
from mtlkeras.specs import spec
from mtlkeras.trunks.base import Trunk
from tests.support import softmax

ROWS, TIME, WIDTH, TAGS = 6, 3, 4, ("O", "B-x", "I-x")


@spec
class StepTrunk(Trunk):
    """Gives its inputs as they are, as a sequence, and their mean as a vector."""

    gives = ("vector", "sequence")

    def __call__(self, inputs):
        steps = keras.layers.Dense(WIDTH, name="steps")(inputs)
        return Features(
            vector=keras.layers.GlobalAveragePooling1D(name="mean")(steps), sequence=steps, source=self
        )


def heads() -> dict:
    """A head of every kind that has labels of its own."""
    return {
        "kind": Classification(3, class_names=("ant", "bee", "cat")),
        "pair": Classification(2),
        "size": Regression(2),
        "age": Regression(),
        "marks": MultiLabel(3),
        "grade": Ordinal(4),
        "tags": Tagging(TAGS),
        "crf": CRFTagging(TAGS),
        "hmm": HMMTagging(TAGS),
    }


def model(some: dict | None = None, **arguments) -> mtlkeras.MultiTaskModel:
    """A compiled model of these heads, which a step of training does not change."""
    made = mtlkeras.build_model((TIME, WIDTH), StepTrunk(), some or heads())
    arguments = {"optimizer": keras.optimizers.SGD(0.0), **arguments}
    made.compile(**arguments)
    return made


def inputs(rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, TIME, WIDTH)).astype("float32")


def labels(rows: int = ROWS, missing: bool = False, seed: int = 1) -> dict[str, np.ndarray]:
    """Labels of whole numbers of 0 and above as float64, of which NaN are missing."""
    rng = np.random.default_rng(seed)
    y = {
        "kind": rng.integers(0, 3, rows),
        "pair": rng.integers(0, 2, rows),
        "size": rng.integers(0, 2, (rows, 2)),
        "age": rng.integers(0, 2, (rows, 1)),
        "marks": rng.integers(0, 2, (rows, 3)),
        "grade": rng.integers(0, 4, rows),
        "tags": rng.integers(0, 3, (rows, TIME)),
        "crf": rng.integers(0, 3, (rows, TIME)),
        "hmm": rng.integers(0, 3, (rows, TIME)),
    }
    y = {task: value.astype("float64") for task, value in y.items()}
    if missing:
        for value in y.values():
            value[rng.random(value.shape) < 0.3] = np.nan
            value.flat[0] = np.nan  # So that there is one in any case.
    return y


def expected_losses(made, outputs: dict, y: dict, weights: dict | None = None) -> dict[str, float]:
    """Each task's mean loss over what is labelled.

    Args:
        made: The model.
        outputs: What it predicts.
        y: Labels as those of `labels`.
        weights: Sample weights of some tasks, by example or by label.
    """
    found = {}
    for task in y:
        layer = made.get_layer(task)
        values, known = _losses(layer, np.asarray(outputs[task], "float64"), y[task])
        scale = np.ones(values.shape) if weights is None or task not in weights else weights[task]
        scale = np.broadcast_to(scale[:, None], values.shape) if scale.ndim < values.ndim else scale
        known = known & (scale != 0)
        values = np.where(known, values * scale, 0.0)
        if layer.head.label_form.by_entry:  # An example counts with the mean over its entries.
            values, known = values.sum(-1) / np.maximum(known.sum(-1), 1), known.any(-1)
        found[task] = float(values.sum() / max(known.sum(), 1))
    return found


def _losses(layer, outputs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each label, and which labels are there."""
    head, known = layer.head, ~np.isnan(y)
    filled = np.where(known, y, 0.0)
    if isinstance(head, (CRFTagging, HMMTagging)):
        values = np.array([_chain_loss(layer, *pair) for pair in zip(outputs, y, strict=True)])
        return values, known.any(-1)
    if isinstance(head, Regression):
        return (outputs - filled) ** 2, known
    if isinstance(head, MultiLabel):
        return -np.log(np.where(filled == 1, outputs, 1 - outputs)), known
    if isinstance(head, Ordinal):
        above = 1 - np.cumsum(outputs, -1)[:, :-1]
        hit = filled[:, None] > np.arange(head.num_classes - 1)
        return -np.log(np.where(hit, above, 1 - above)).sum(-1), known
    return -np.log(np.take_along_axis(outputs, filled[..., None].astype(int), -1)[..., 0]), known


def _chain_loss(layer, scores: np.ndarray, tags: np.ndarray) -> float:
    """By summing over all sequences of tags that agree with what is known."""
    known = ~np.isnan(tags)
    chain = layer.crf if hasattr(layer, "crf") else layer.hmm
    scores = scores if hasattr(layer, "crf") else np.log(softmax(scores)) - np.log(1 / len(TAGS))
    score = _crf_score if hasattr(layer, "crf") else _hmm_score
    paths = list(itertools.product(range(len(TAGS)), repeat=TIME))
    values = np.array([score(chain, scores, path) for path in paths])
    agree = np.array(
        [all(not k or p == t for p, t, k in zip(path, tags, known, strict=True)) for path in paths]
    )
    if hasattr(layer, "crf"):
        return float(np.logaddexp.reduce(values) - np.logaddexp.reduce(values[agree]))
    prior = known.sum() * np.log(1 / len(TAGS))  # Which the head keeps equal at first.
    return float(-np.logaddexp.reduce(values[agree]) - prior)


def _crf_score(crf, scores: np.ndarray, path) -> float:
    start, end, moves = (np.asarray(w, "float64") for w in (crf.start, crf.end, crf.transitions))
    total = start[path[0]] + end[path[-1]] + sum(scores[t, tag] for t, tag in enumerate(path))
    return total + sum(moves[a, b] for a, b in itertools.pairwise(path))


def _hmm_score(hmm, scores: np.ndarray, path) -> float:
    known = hmm.probabilities()
    start, moves = np.log(known["start"]), np.log(known["transitions"])
    total = start[path[0]] + sum(scores[t, tag] for t, tag in enumerate(path))
    return total + sum(moves[a, b] for a, b in itertools.pairwise(path))
