"""How right a model is on each example by itself, and whether another is more so."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mtlkeras._model.joint_answers import JointAnswers
from mtlkeras._model.labelled_batches import labelled_batches
from mtlkeras._model.outputs import dependence_layer

_AT_ONCE = 2_000_000  # Draws that are held in memory.


def example_scores(model: Any, data: Any, batch_size: int = 32) -> dict[str, np.ndarray]:
    """Returns how right a model's answers to each example are.

    Args:
        model: A compiled `MultiTaskModel`.
        data: `(x, y)` or `(x, y, sample_weight)`, or a data set of such batches that keeps its order.
        batch_size: Examples in a batch, of arrays.

    Returns:
        By task float64 `(examples,)`: the share of right answers among an example's known labels, so 0 or 1
        where there is one; for tasks of numbers minus the mean absolute error, in the labels' units. NaN
        without labels.

    Raises:
        ValueError: If the model is not compiled, there is no batch, or the labels do not fit.

    Example:

    ```python
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"kind": mtlkeras.heads.Classification(3)})
    model.compile("adam")
    x, y = np.random.rand(6, 4), {"kind": np.array([0, 1, 2, 0, 1, -1])}
    mtlkeras.analysis.example_scores(model, (x, y))["kind"]  # Of the last one NaN.
    ```
    """
    if not getattr(model, "compiled", False):
        raise ValueError(f"example_scores: the model '{model.name}' is not compiled.")
    found: dict[str, list[np.ndarray]] = {task: [] for task in model.heads}
    for x, y, _ in labelled_batches(model, data, "example_scores", batch_size):
        outputs = model.predict_on_batch(x)
        answers = JointAnswers(model._objectives, dependence_layer(model), y, outputs)
        rows = len(outputs[next(iter(found))])
        for task, parts in found.items():
            parts.append(_scores(model.heads[task], task, answers) if task in y else np.full(rows, np.nan))
    if not next(iter(found.values())):
        raise ValueError("example_scores: the data have no batch.")
    return {task: np.concatenate(parts) for task, parts in found.items()}


def _scores(head: Any, task: str, answers: Any) -> np.ndarray:
    right, given, known = (np.asarray(part[task]) for part in answers.answers([task]))
    rows = len(known)
    known = known.reshape(rows, -1)
    if right.ndim > given.ndim:
        right = right.argmax(axis=-1)  # Rows of probabilities.
    right, given = right.reshape(rows, -1), given.reshape(rows, -1)
    if head.label_form.are_numbers:
        values = -np.abs(given.astype("float64") - right)
    else:
        values = (given == right).astype("float64")
    known = np.broadcast_to(known, values.shape)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(rows, np.nan), where=counts > 0)


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """The mean difference of two scores of the same examples.

    Args:
        mean: The mean over the examples.
        low: Lower end of its confidence interval.
        high: Upper end.
        p_value: How often signs drawn at random give a mean as far from zero or farther.
        examples: Number of examples with both scores.
    """

    mean: float
    low: float
    high: float
    p_value: float
    examples: int


def paired_difference(
    scores: Any, others: Any, level: float = 0.95, draws: int = 5000, seed: int = 0
) -> PairedDifference:
    """Returns how much higher one score of examples is than another, and how sure that is.

    The interval is the bootstrap's percentile interval over examples (Efron 1979), the test one of signs
    drawn at random (Fisher 1935): neither takes differences to be normal. They tell of other examples, and
    not of other seeds.

    Args:
        scores: Scores of one model, `(examples,)`, or `(seeds, examples)` of several trainings, of which the
            mean is taken. NaN leaves an example out.
        others: Those of the other model, of as many examples in the same order.
        level: How often the interval is to hold the mean of all examples that there could be.
        draws: Number of samples drawn.
        seed: Seed of the draws.

    Raises:
        ValueError: If the numbers of examples differ, fewer than two have both scores, or an argument is out
            of its range.

    Example:

    >>> mtlkeras.analysis.paired_difference([1, 1, 0, 1], [0, 1, 0, 0]).mean
    0.5
    """
    if not 0 < level < 1 or draws < 1:
        raise ValueError(
            f"paired_difference: level must be within 0 and 1; received {level!r}, draws={draws!r}."
        )
    one, other = (_mean_over_seeds(values) for values in (scores, others))
    if one.shape != other.shape:
        raise ValueError(
            f"paired_difference: expected scores of the same examples; received {len(one)} and {len(other)}."
        )
    differences = one - other
    differences = differences[~np.isnan(differences)]
    count = len(differences)
    if count < 2:
        raise ValueError(f"paired_difference: expected two examples with both scores; received {count}.")
    rng = np.random.default_rng(seed)
    mean = float(differences.mean())
    drawn, signed = [], []
    for start in range(0, draws, max(1, _AT_ONCE // count)):
        size = (min(max(1, _AT_ONCE // count), draws - start), count)
        drawn.append(differences[rng.integers(count, size=size)].mean(axis=1))
        signed.append((differences * rng.choice((-1.0, 1.0), size=size)).mean(axis=1))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2])
    # A rounding error more would make a draw of the very signs a smaller one.
    as_far = np.abs(np.concatenate(signed)) >= abs(mean) - 1e-12
    return PairedDifference(mean, float(low), float(high), float((as_far.sum() + 1) / (draws + 1)), count)


def _mean_over_seeds(values: Any) -> np.ndarray:
    array = np.atleast_2d(np.asarray(values, "float64"))
    if array.ndim != 2:
        raise ValueError(
            f"paired_difference: expected scores (examples,) or (seeds, examples); received {array.shape}."
        )
    return array.mean(axis=0)
