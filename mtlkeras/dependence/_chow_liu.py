"""The tree of variables that tell most of each other (Chow and Liu 1968)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._missing import MISSING, UNSEEN


def chow_liu_tree(columns: Mapping[str, np.ndarray], root: str) -> list[tuple[str, str]]:
    """Returns pairs (parent, child) of the tree whose sum of mutual information is the largest.

    Chow and Liu 1968, Approximating discrete probability distributions with dependence trees, eq. 14: of all
    trees the maximum-likelihood one. Of equal pairs the first is taken.

    Args:
        columns: Whole numbers `(examples,)` by name, -1 where a value is missing.
        root: Where the tree starts.
    """
    names = list(columns)
    told = mutual_information(list(columns.values()))
    inside, pairs = [names.index(root)], []
    # Prim 1957: always the pair of a node inside and one outside that tell most of each other.
    while len(inside) < len(names):
        outside = [i for i in range(len(names)) if i not in inside]
        parent, child = max(((i, j) for j in outside for i in inside), key=told.__getitem__)
        pairs.append((names[parent], names[child]))
        inside.append(child)
    return pairs


def mutual_information(columns: list[np.ndarray]) -> np.ndarray:
    """Returns the mutual information of each two columns in nats, `(columns, columns)`.

    Each is that of the examples in which both values are known; 0 where there is none.
    """
    rows = [values[:, None] == np.unique(values[values >= 0]) for values in columns]
    places = np.cumsum([0, *(part.shape[1] for part in rows)])
    every = np.concatenate(rows, axis=1).astype("float64")
    counts = every.T @ every
    told = np.zeros((len(rows), len(rows)))
    for i, j in zip(*np.triu_indices(len(rows), 1), strict=True):
        block = counts[places[i] : places[i + 1], places[j] : places[j + 1]]
        apart = block.sum(1, keepdims=True) * block.sum(0, keepdims=True)
        there = block > 0
        total = max(block.sum(), 1.0)
        told[i, j] = told[j, i] = (block[there] * np.log(block[there] * total / apart[there])).sum() / total
    return told


def label_columns(y: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns one column for each task, `"task/i"` for each column of a matrix of labels.

    Raises:
        ValueError: If labels are no dict of arrays of one length, or numbers that are no classes.
    """
    if not isinstance(y, Mapping) or not y:
        raise ValueError(
            f"TaskChain.from_labels: expected a dict of label arrays by task; received {type(y).__name__}."
        )
    columns: dict[str, np.ndarray] = {}
    for task, values in y.items():
        array = keras.ops.convert_to_numpy(values) if keras.ops.is_tensor(values) else np.asarray(values)
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim not in (1, 2):
            raise ValueError(
                f"TaskChain.from_labels: labels of task '{task}' must have the shape (examples,), or "
                f"(examples, labels) for MultiLabel; received {array.shape}."
            )
        if array.ndim == 1:
            columns[task] = _codes(task, array)
        else:
            columns |= {f"{task}/{i}": _codes(task, array[:, i]) for i in range(array.shape[1])}
    lengths = {task: len(column) for task, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"TaskChain.from_labels: expected as many labels for each task; received {lengths}.")
    return columns


def _codes(task: str, values: np.ndarray) -> np.ndarray:
    """Returns a number for each different value, -1 for those that are missing."""
    known = np.array([not _is_missing(value) for value in values.tolist()], bool)
    if values.dtype.kind in "fc" and (values[known] % 1 != 0).any():
        raise ValueError(
            f"TaskChain.from_labels: the labels of task '{task}' are numbers such as "
            f"{values[known][values[known] % 1 != 0][0]}, expected classes."
        )
    codes = np.full(len(values), -1)
    if known.any():
        codes[known] = np.unique(
            values[known].astype(str) if values.dtype == object else values[known], return_inverse=True
        )[1]
    return codes


def _is_missing(value: Any) -> bool:
    return (
        value is None or value != value or (not isinstance(value, (str, bool)) and value in (MISSING, UNSEEN))
    )
