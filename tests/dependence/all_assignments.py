"""Chains and trees by sums over all assignments of classes to their links."""

from __future__ import annotations

import itertools

import numpy as np
from keras import ops

from mtlkeras.dependence import DependentScores
from mtlkeras.dependence.base import FEATURES
from tests.support import softmax

ROWS = 6


def layer_and_scores(chain, heads, seed=0):
    """Returns a layer with random tables, and random scores of the heads."""
    rng = np.random.default_rng(seed)
    layer: DependentScores = chain.layer(heads)
    widths = {
        task: head.num_labels if hasattr(head, "num_labels") else head.num_classes
        for task, head in heads.items()
    }
    scores = {t: rng.normal(scale=2.0, size=(ROWS, widths[t])).astype("float32") for t in layer.tasks}
    if chain.conditional:
        scores[FEATURES] = rng.normal(size=(ROWS, 3)).astype("float32")
    layer(scores)
    for weight in layer.weights:
        weight.assign(rng.normal(scale=1.5, size=weight.shape))
    return layer, scores


def joint_table(layer, scores):
    """Returns p of every assignment to the layer's links, shape `(rows, classes, classes, ...)`, float64."""
    own = [own_scores(scores, link) for link in layer.links]
    sizes = [x.shape[1] for x in own]
    flat = ops.convert_to_numpy(layer.pairwise).astype("float64")[None].repeat(ROWS, 0)
    if layer.dependence.conditional:
        flat = flat + scores[FEATURES].astype("float64") @ ops.convert_to_numpy(layer.kernel)
    log, start = np.zeros((ROWS, *sizes)), 0
    for k, parent in enumerate(layer.tree.parents):
        pair = np.zeros((ROWS, 1, sizes[k]))
        if parent is not None:
            count = sizes[parent] * sizes[k]
            pair = flat[:, start : start + count].reshape(ROWS, sizes[parent], sizes[k])
            start += count
        pair = pair + own[k][:, None]
        if layer.dependence.directed:
            pair = np.log(softmax(pair))
        shape = [ROWS] + [1] * len(sizes)
        shape[k + 1] = sizes[k]
        if parent is not None:
            shape[parent + 1] = sizes[parent]
        log = log + pair.reshape(shape)
    return softmax(log.reshape(ROWS, -1)).reshape(log.shape)


def own_scores(scores, link):
    if link.entry is None:
        return scores[link.task].astype("float64")
    yes = scores[link.task][:, link.entry].astype("float64")
    return np.stack([np.zeros_like(yes), yes], axis=1)


def some_labels(layer, scores, seed=1):
    """Returns labels of which about half are missing."""
    rng = np.random.default_rng(seed)
    labels = {}
    for task in layer.tasks:
        shape = scores[task].shape if (task, 0) in layer.links else (ROWS,)
        classes = 2 if (task, 0) in layer.links else scores[task].shape[1]
        labels[task] = np.where(rng.random(shape) < 0.5, -1, rng.integers(0, classes, shape)).astype("int32")
    return labels


def as_evidence(labels):
    return {t: (ops.convert_to_tensor(y), ops.convert_to_tensor(y >= 0)) for t, y in labels.items()}


def by_link(layer, labels):
    """Returns labels as `(rows, links)`."""
    return np.stack([labels[t] if e is None else labels[t][:, e] for t, e in layer.links], axis=1)


def fitting(table, ys):
    """Returns the table with zeros where an assignment is not that of the known labels `(rows, links)`."""
    table = table.copy()
    for k in range(ys.shape[1]):
        classes = np.arange(table.shape[k + 1])
        fits = (ys[:, k : k + 1] < 0) | (ys[:, k : k + 1] == classes)
        table *= fits.reshape([ROWS, *(len(classes) if i == k else 1 for i in range(ys.shape[1]))])
    return table


def total(table):
    return table.reshape(ROWS, -1).sum(1)


def marginals(table):
    """Returns p of the classes of each link."""
    axes = range(1, table.ndim)
    return [table.sum(tuple(a for a in axes if a != k)) / total(table)[:, None] for k in axes]


def best(table):
    """Returns the most probable assignments `(rows, links)`."""
    places = itertools.starmap(np.unravel_index, ((row.argmax(), row.shape) for row in table))
    return np.array(list(places))
