"""What each example adds to metrics that are no means over examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._model.labelled_batches import labelled_batches


def jackknife_scores(model: Any, data: Any, batch_size: int = 1) -> dict[str, np.ndarray]:
    """Returns by metric a score of each batch of examples, whose mean is the metric.

    The scores are the pseudo-values of the jackknife (Tukey 1958): with M the metric of all n batches and
    M_i that of all but one, n M - (n - 1) M_i. Of a metric that is the mean of a number for each example they
    are these numbers; of others, such as AUC or F1, what the example adds, to first order. So
    `paired_difference` tells of any metric whether one model is better than another.

    Args:
        model: A compiled `MultiTaskModel`, whose metrics are afterwards reset.
        data: `(x, y)` or `(x, y, sample_weight)`, or a data set of such batches that keeps its order.
        batch_size: Examples in a batch, of arrays. One gives the most; some hundred batches are enough.

    Returns:
        By name in the logs (`loss`, `<task>_loss`, `<task>_<metric>`) float64 `(batches,)`. NaN for batches
        without labels of the task. Metrics that cannot be added up from batches are left out, and so are
        those that fewer than two batches have labels for.

    Raises:
        ValueError: If the model is not compiled, there are fewer than two batches, or the labels do not fit.

    Example:

    ```python
    head = mtlkeras.heads.Classification(2, metrics=("auc",))
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"kind": head})
    model.compile("adam")
    x, y = np.random.rand(6, 4), {"kind": np.array([0, 1, 1, 0, 1, -1])}
    mtlkeras.analysis.jackknife_scores(model, (x, y))["kind_auc"]  # Of the last one NaN.
    ```
    """
    if not getattr(model, "compiled", False):
        raise ValueError(f"jackknife_scores: the model '{model.name}' is not compiled.")
    metrics = model._compile_metrics
    begin: list[np.ndarray] = []
    batches: list[list[np.ndarray]] = []
    first: list[tuple[Any, ...]] = []
    try:
        for x, y, weights in labelled_batches(model, data, "jackknife_scores", batch_size):
            if not batches:
                model.test_on_batch(x, y, weights)  # So that all metrics have their variables.
            model.reset_metrics()
            begin = begin or _values(metrics.variables)
            model.test_on_batch(x, y, weights)
            batches.append(_less(_values(metrics.variables), begin))
            first.append((x, y) if weights is None else (x, y, weights))
            del first[2:]
        if len(batches) < 2:
            raise ValueError(f"jackknife_scores: expected two batches or more; received {len(batches)}.")
        of_two = model.evaluate((batch for batch in first), steps=2, verbose=0, return_dict=True)
        return _pseudo_values(model, begin, batches, of_two)
    finally:
        model.reset_metrics()


def _pseudo_values(
    model: Any, begin: list[np.ndarray], batches: list[list[np.ndarray]], of_two: dict[str, float]
) -> dict[str, np.ndarray]:
    """Returns the scores.

    Args:
        model: The model.
        begin: What its metrics begin with, by variable.
        batches: What each batch adds to that.
        of_two: The results of the first two batches, one after the other.
    """
    variables = model._compile_metrics.variables

    def result(sums: Sequence[np.ndarray]) -> dict[str, float]:
        for variable, start, value in zip(variables, begin, sums, strict=True):
            variable.assign(start + value)
        return _results(model)

    added = result([one + two for one, two in zip(*batches[:2], strict=True)])
    names = [
        name for name, value in added.items() if np.isclose(value, of_two[name], 1e-3, 1e-5, equal_nan=True)
    ]
    total = [
        np.sum(values, axis=0, dtype="float64").astype(values[0].dtype)
        for values in zip(*batches, strict=True)
    ]
    whole = result(total)
    without = [result(_less(total, batch)) for batch in batches]
    labelled = _labelled(model, batches)
    scores = {}
    for name in names:
        known = labelled.get(name, np.ones(len(batches), bool))
        count = known.sum()
        if count > 1:
            left = np.array([found[name] for found in without])
            scores[name] = np.where(known, count * whole[name] - (count - 1) * left, np.nan)
    return scores


def _labelled(model: Any, batches: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns by the name of a task's metric which batches have labels of the task."""
    metrics = model._compile_metrics
    place = next(i for i, variable in enumerate(metrics.variables) if variable is metrics.loss_sums)
    counts = np.stack([batch[place][1] for batch in batches])
    return {
        name: counts[:, number] > 0
        for number, task in enumerate(model.heads)
        for name in metrics.names_of(task)
    }


def _results(model: Any) -> dict[str, float]:
    with model._compile_metrics.evaluation():
        found = {name: ops.convert_to_numpy(value) for name, value in model.get_metrics_result().items()}
    return {name: float(value) for name, value in found.items() if np.ndim(value) == 0}


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def _less(values: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [one - other for one, other in zip(values, others, strict=True)]
