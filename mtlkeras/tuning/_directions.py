"""The names that training logs for a model's tasks, and which way each is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import direction_of
from mtlkeras._model.given_functions import TaskView
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.task_metrics import MetricsOfTasks, NamedMetric
from mtlkeras.heads import Head


def log_directions(model_or_heads: MultiTaskModel | Mapping[str, Head]) -> dict[str, str | None]:
    """Returns `"min"` or `"max"` by name in the logs, without `val_`.

    Args:
        model_or_heads: A compiled model, or heads by task.

    Returns:
        The directions; `None` for a metric that does not know its own.

    Raises:
        ValueError: If the model is not compiled.
    """
    if isinstance(model_or_heads, Mapping):
        metrics = _metrics_of_heads(model_or_heads)
        return {"loss": "min", **{metric.name: _direction(metric) for metric in metrics}}
    if not getattr(model_or_heads, "compiled", False):
        raise ValueError("The objective needs a compiled model (or the heads by task).")
    directions: dict[str, str | None] = dict.fromkeys(model_or_heads.get_metrics_result())
    directions["loss"] = "min"
    # The same look-up as that of stock Keras callbacks with mode="auto".
    for container in model_or_heads.metrics:
        for metric in getattr(container, "metrics", ()):
            directions[metric.name] = _direction(metric)
    return directions


def _metrics_of_heads(heads: Mapping[str, Head]) -> list[NamedMetric]:
    metrics = [NamedMetric(f"{task}_loss", None) for task in heads]
    for task, head in heads.items():
        found = MetricsOfTasks().resolve(TaskView(task, head.output_layer(task)), None)
        metrics += [NamedMetric(f"{task}_{m.name}", m.metric) for m in found]
    return metrics


def _direction(metric: Any) -> str | None:
    return {"up": "max", "down": "min"}.get(direction_of(metric) or "")


def main_metrics(model_or_heads: MultiTaskModel | Mapping[str, Head]) -> dict[str, str]:
    """Returns each task's first metric (its loss if it has none) as a name in the logs, with `val_`."""
    tasks = list(model_or_heads if isinstance(model_or_heads, Mapping) else model_or_heads.heads)
    found = {task: f"val_{task}_loss" for task in tasks}
    for name in reversed(log_directions(model_or_heads)):
        task = _task_of(name, tasks)
        if task is not None and name != f"{task}_loss":
            found[task] = f"val_{name}"
    return found


def _task_of(name: str, tasks: list[str]) -> str | None:
    """Returns the task of a name in the logs; of `a` and `a_b` the longer one."""
    return max((task for task in tasks if name.startswith(f"{task}_")), key=len, default=None)


def known_direction(name: str, directions: Mapping[str, str | None], where: str) -> str:
    """Returns which way a logged value is better.

    Args:
        name: Name in the logs, with or without `val_`.
        directions: Result of `log_directions`.
        where: The argument in which the name stood, for the message.

    Raises:
        ValueError: If the model logs nothing of that name, with the nearest name it has; or if
            the direction is not known.
    """
    plain = name.removeprefix("val_")
    if plain not in directions:
        raise unknown_name("metric", name, [f"val_{log}" for log in directions], where)
    direction = directions[plain]
    if direction is None:
        raise ValueError(
            f"{where}: Keras does not know whether '{name}' is better when it is higher or lower. "
            f"Pass keras_tuner.Objective('{name}', 'max') or 'min'."
        )
    return direction
