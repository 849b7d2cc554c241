"""KerasTuner objectives with the right direction for every task's metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtlkeras._model.model import MultiTaskModel
from mtlkeras.heads import Head
from mtlkeras.tuning._directions import known_direction, log_directions, main_metrics
from mtlkeras.tuning._packages import keras_tuner

if TYPE_CHECKING:
    import keras_tuner as kt


def objective(
    model_or_heads: MultiTaskModel | Mapping[str, Head],
    names: str | kt.Objective | Sequence[str | kt.Objective] | None = None,
) -> kt.Objective | list[kt.Objective]:
    """Makes `keras_tuner.Objective`s for tasks' metrics, checked before the first trial.

    KerasTuner infers no direction for a metric of a task, and finds out about a misspelt name
    only after a whole trial.

    A list of objectives is searched by KerasTuner as their plain signed sum, in which a metric
    of large scale drowns the others: `multi_task_objective` does better.

    Args:
        model_or_heads: A compiled model, or heads by task.
        names: A name in the logs such as `"val_kind_accuracy"`, or a list of names; a
            `keras_tuner.Objective` in it keeps its direction. `None` for each task's first
            metric on the validation data.

    Returns:
        One objective for one name, otherwise a list.

    Raises:
        ValueError: If the model logs nothing of that name, with the nearest name that it has.
        ImportError: If KerasTuner is not installed.

    Example:

    ```python
    heads = {"kind": mtlkeras.heads.Classification(3), "size": mtlkeras.heads.Regression()}
    mtlkeras.tuning.objective(heads, "val_size_mae").direction  # "min"
    [o.name for o in mtlkeras.tuning.objective(heads)]  # ["val_kind_accuracy", "val_size_mae"]
    ```
    """
    directions = log_directions(model_or_heads)
    if names is None:
        names = list(main_metrics(model_or_heads).values())
    if isinstance(names, (list, tuple)):
        return [_objective(name, directions) for name in names]
    return _objective(names, directions)


def _objective(name: Any, directions: dict[str, str | None]) -> Any:
    kt = keras_tuner()
    if isinstance(name, kt.Objective):
        known_direction(name.name, dict.fromkeys(directions, name.direction), "objective")
        return name
    return kt.Objective(name, known_direction(name, directions, "objective"))
