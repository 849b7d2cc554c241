"""A number for each two tasks."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._types import PathLike
from mtlkeras.analysis._pictures import Table, finished, heat_map, name_axes, new_figure


@dataclasses.dataclass(frozen=True, eq=False)
class TaskMatrix:
    """A number for each two tasks: how their labels go together, what one does to the other.

    Args:
        names: Names of the tasks, or of what else stands for them.
        values: Shape `(tasks, tasks)`, float64. Where it is not symmetric, the entry in row i and column j
            is what task i does to task j. NaN where nothing is known.
        title: What the numbers are.
        limits: The least and the largest that the numbers can be, for the colours of the picture; by default
            those that occur.

    Raises:
        ValueError: If the matrix is not square with a row a name, or a name stands twice.

    Example:

    ```python
    affinity = mtlkeras.analysis.TaskMatrix(("a", "b"), [[1.0, -0.2], [0.3, 1.0]], title="affinity")
    affinity["a", "b"]  # -0.2: what a does to b
    affinity.frame()    # {'from': ['a', 'b'], 'to': ['b', 'a'], 'value': [-0.2, 0.3]}
    ```
    """

    names: tuple[str, ...]
    values: np.ndarray
    title: str = "Affinity of tasks"
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(map(str, self.names)))
        object.__setattr__(self, "values", np.asarray(self.values, "float64"))
        count = len(self.names)
        if self.values.shape != (count, count) or not count:
            raise ValueError(
                f"TaskMatrix: {count} names need values of shape ({count}, {count}), and at least one; "
                f"received shape {self.values.shape}."
            )
        if len(set(self.names)) < count:
            raise ValueError(f"TaskMatrix: names must be distinct; received {self.names}.")

    def __getitem__(self, pair: tuple[str, str]) -> float:
        row, column = (self._place(name) for name in pair)
        return float(self.values[row, column])

    def _place(self, name: str) -> int:
        if name not in self.names:
            raise unknown_name("task", name, self.names, f"the matrix '{self.title}'")
        return self.names.index(name)

    def frame(self) -> Table:
        """Returns the numbers of all pairs of different tasks as columns by name, as `pandas` takes them."""
        pairs = [(a, b) for a in self.names for b in self.names if a != b]
        return {
            "from": [a for a, _ in pairs],
            "to": [b for _, b in pairs],
            "value": [self[a, b] for a, b in pairs],
        }

    def plot(self, path: PathLike | None = None) -> Any:
        """Draws the matrix as a heat map; returns the `matplotlib` figure.

        Args:
            path: Where to write it, the ending telling the format; `None` for nowhere.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        size = 2.2 + 0.6 * len(self.names)
        figure = new_figure(size + 0.8, size)
        axis = figure.subplots()
        heat_map(axis, self.values, self.names, self.names, self.limits or self._range())
        symmetric = np.allclose(self.values, self.values.T, equal_nan=True)
        name_axes(axis, self.title, "task" if symmetric else "to task", "task" if symmetric else "from task")
        return finished(figure, path)

    def _range(self) -> tuple[float, float]:
        """Returns limits for the colours, in the middle of which is 0 if there are negative numbers."""
        known = self.values[np.isfinite(self.values)]
        largest = float(np.abs(known).max(initial=0.0)) or 1.0
        return (-largest if (known < 0).any() else 0.0), largest
