"""How the labels of tasks go together."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._types import Labels
from mtlkeras.analysis import _associations
from mtlkeras.analysis._label_columns import Column, heads_of, known_in_both, label_columns
from mtlkeras.analysis._pictures import Table
from mtlkeras.analysis.task_matrix import TaskMatrix

_OF_CLASSES = {
    "nmi": _associations.normalised_mutual_information,
    "cramers_v": _associations.cramers_v,
    "cramers_v_corrected": _associations.corrected_cramers_v,
}
_OF_NUMBERS = {"pearson": _associations.pearson, "spearman": _associations.spearman}


@dataclasses.dataclass(frozen=True, eq=False)
class LabelAssociation(TaskMatrix):
    """How the labels of each two tasks go together; made by `label_association`.

    Args:
        names: Names of the columns: of the tasks, or `task/label` of tasks with several.
        values: The measures, `(columns, columns)`, symmetric.
        title: What the numbers are.
        limits: As of `TaskMatrix`.
        tasks: The task of each column.
        measures: The measure of each two columns, `(columns, columns)`.
        examples: In how many examples, steps or pixels both labels are known, `(columns, columns)`.
    """

    tasks: tuple[str, ...] = ()
    measures: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 0), object))
    examples: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 0), "int64"))

    def frame(self) -> Table:
        """Returns each pair once as columns by name, with its measure and how many examples have both."""
        pairs = list(zip(*(i.tolist() for i in np.triu_indices(len(self.names), 1)), strict=True))
        return {
            "task": [self.names[i] for i, _ in pairs],
            "other": [self.names[j] for _, j in pairs],
            "measure": [str(self.measures[i, j]) for i, j in pairs],
            "value": [float(self.values[i, j]) for i, j in pairs],
            "examples": [int(self.examples[i, j]) for i, j in pairs],
        }

    def by_task(self) -> TaskMatrix:
        """Returns one number for each two tasks: the mean of the sizes over their columns, signs left out.

        NaN where no pair of columns has a number; 1 of a task with itself.
        """
        tasks = list(dict.fromkeys(self.tasks))
        matrix = np.eye(len(tasks))
        for i, j in zip(*np.triu_indices(len(tasks), 1), strict=True):
            rows, columns = (np.array([t == tasks[k] for t in self.tasks]) for k in (i, j))
            sizes = np.abs(self.values[np.ix_(rows, columns)])
            known = sizes[np.isfinite(sizes)]
            matrix[i, j] = matrix[j, i] = known.mean() if len(known) else np.nan
        return TaskMatrix(tuple(tasks), matrix, self.title, (0.0, 1.0))


def label_association(
    y: Labels, heads: Any, classes: str = "nmi", numbers: str = "pearson"
) -> LabelAssociation:
    """Measures how the labels of each two tasks go together, over the examples that have both.

    Two columns of classes are measured by `classes`, two of numbers by `numbers`, and classes with numbers by
    the correlation ratio: the root of the share of the numbers' variance that lies between the classes, 0
    where all classes have the same mean, 1 where the class tells the number. A task with several labels or
    numbers has a column for each. A label of an example goes with each of its steps or pixels.

    Labels that go together are a sign that tasks can share, and no proof: what helps is what the *inputs*
    tell of both.

    Args:
        y: Labels by task, as for `fit`; missing ones are left out.
        heads: A `MultiTaskModel`, or heads by task.
        classes: `"nmi"`, mutual information over the mean of the entropies (as scikit-learn's
            `normalized_mutual_info_score`); `"cramers_v"`, Cramér's V; or `"cramers_v_corrected"`, V with its
            bias taken off: of few examples, V and the information are above 0 by chance. All are from 0 to 1
            and the same for opposed tasks as for equal ones.
        numbers: `"pearson"` or `"spearman"`, from -1 to 1.

    Returns:
        A symmetric matrix. NaN where two columns have fewer than two examples in common, or one has a single
        value there.

    Raises:
        ValueError: If a measure or a task is not known, labels do not fit their head, or there are fewer than
            two columns.

    Example:

    ```python
    y = {"kind": [0, 1, 0, 1], "size": [1.0, 2.0, 1.5, -1.0]}
    heads = {"kind": mtlkeras.heads.Classification(2), "size": mtlkeras.heads.Regression()}
    found = mtlkeras.analysis.label_association(y, heads)
    found["kind", "size"]  # 0.32
    found.frame()["measure"]  # ['correlation_ratio']
    ```

    References:
        - Cramér 1946, Mathematical Methods of Statistics, 21.9.
        - Bergsma 2013, A bias-correction for Cramér's V and Tschuprow's T.
        - Strehl and Ghosh 2002, Cluster Ensembles (information over entropies; here their arithmetic mean).
    """
    for name, value, known in (("classes", classes, _OF_CLASSES), ("numbers", numbers, _OF_NUMBERS)):
        if value not in known:
            raise unknown_name("measure", value, known, f"{name}= of label_association")
    columns = label_columns(y, heads_of(heads, "label_association"))
    if len(columns) < 2:
        raise ValueError(
            f"label_association: expected labels of at least two tasks; received {[c.name for c in columns]}."
        )
    return _measured(columns, classes, numbers)


def _measured(columns: list[Column], classes: str, numbers: str) -> LabelAssociation:
    count = len(columns)
    values, examples = np.eye(count), np.zeros((count, count), "int64")
    measures = np.empty((count, count), object)
    for i, j in zip(*np.triu_indices(count), strict=True):
        a, b = known_in_both(columns[i], columns[j])
        measure, value = _measure(columns[i].are_numbers, columns[j].are_numbers, a, b, classes, numbers)
        values[i, j] = values[j, i] = value
        measures[i, j] = measures[j, i] = measure
        examples[i, j] = examples[j, i] = len(a)
    limits = (-1.0 if (values < 0).any() else 0.0, 1.0)
    return LabelAssociation(
        tuple(column.name for column in columns),
        values,
        "Association of labels",
        limits,
        tuple(column.task for column in columns),
        measures,
        examples,
    )


def _measure(
    a_is_number: bool, b_is_number: bool, a: np.ndarray, b: np.ndarray, classes: str, numbers: str
) -> tuple[str, float]:
    """Returns the name of the measure of two columns, and its value."""
    if a_is_number and b_is_number:
        return numbers, _OF_NUMBERS[numbers](a, b)
    if not a_is_number and not b_is_number:
        return classes, _OF_CLASSES[classes](a, b)
    return "correlation_ratio", _associations.correlation_ratio(*((b, a) if a_is_number else (a, b)))
