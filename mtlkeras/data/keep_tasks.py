"""Data sets of fewer tasks than they have labels for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._types import Dataset


def keep_tasks(dataset: Dataset, tasks: Iterable[str]) -> Dataset:
    """Leaves out the labels of all but some tasks: to train one task alone, say, and compare.

    Args:
        dataset: A `tf.data.Dataset` of `(inputs, labels)` or `(inputs, labels, weights)` with labels, and
            weights if they are, by task.
        tasks: Names of the tasks to keep.

    Returns:
        The same data set without the others.

    Raises:
        ValueError: If the data set has no labels of one of the tasks.

    Example:

    ```python
    numbers = np.arange(9)
    data = mtlkeras.data.load({"x": numbers * 0.5, "a": numbers, "b": numbers}, {"a": "a", "b": "b"})
    alone = mtlkeras.data.keep_tasks(data, ["a"])
    ```
    """
    wanted, tasks_in_data = list(tasks), _tasks(dataset)
    for task in wanted:
        if task not in tasks_in_data:
            raise unknown_name("task", task, tasks_in_data, "keep_tasks")

    def kept(x: Any, *labels_and_weights: Any) -> Any:
        return (
            x,
            *(
                {task: part[task] for task in wanted} if isinstance(part, dict) else part
                for part in labels_and_weights
            ),
        )

    return dataset.map(kept)


def of_model(dataset: Dataset, model: keras.Model) -> Dataset:
    """Returns a data set with the labels of a model's tasks, if it has those of all and of others too."""
    tasks_in_data, wanted = _tasks(dataset), list(model.heads)
    # A task that is missing may be one whose name is misspelt, which `fit` will tell.
    return keep_tasks(dataset, wanted) if set(wanted) < set(tasks_in_data) else dataset


def _tasks(dataset: Dataset) -> list[str]:
    spec = getattr(dataset, "element_spec", None)
    labels = spec[1] if isinstance(spec, tuple) and len(spec) > 1 else None
    return list(labels) if isinstance(labels, Mapping) else []
