"""A comparison of tasks together and alone, in words and as tables."""

from __future__ import annotations

import math
import statistics
import textwrap
from collections.abc import Sequence
from typing import Any

from mtlkeras._app.report.tables import Table, markdown
from mtlkeras.analysis import delta_m

_NOISE = 0.05
"""A difference that would come about by chance so often or more is told as none."""


def baseline_table(tasks: Sequence[Any]) -> Table:
    """Makes the table of a comparison: a row for each task.

    Args:
        tasks: The tasks, as `mtlkeras._app.runs.baseline.Compared`.
    """
    header = ["task", "metric", "together", "alone", "change, %", "p"]
    related = _have_changes(tasks)
    rows = []
    for one in tasks:
        rows.append(
            [
                one.task,
                one.metric,
                _with_spread(one.together),
                _with_spread(one.alone),
                _with_spread(one.changes, 2, "+") if one in related else "",
                _chance(one.difference),
            ]
        )
    return header, rows


def _delta_m(tasks: Sequence[Any]) -> list[float]:
    """Returns Δm by seed, of tasks that all have a relative change."""
    ways = {one.task: "up" if one.higher_is_better else "down" for one in tasks}
    return [
        delta_m({one.task: one.together[i] for one in tasks}, {one.task: one.alone[i] for one in tasks}, ways)
        for i in range(len(tasks[0].together))
    ]


def _have_changes(tasks: Sequence[Any]) -> list[Any]:
    return [one for one in tasks if all(map(math.isfinite, one.changes))]


def _chance(found: Any) -> str:
    if found is None:
        return ""
    return "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"


def verdict(tasks: Sequence[Any]) -> list[str]:
    """Returns a sentence for all tasks, one for each, and one for the task that is worst off."""
    related = _have_changes(tasks)
    told = [one for one in tasks if _tells(one.difference)]
    better = sum(one.difference.mean > 0 for one in told)
    apart = f"of {len(tasks)} tasks {better} better together and {len(told) - better} better alone"
    sentences = [*map(_of_task, tasks)]
    if not related:
        return [f"{apart.capitalize()}, as far as the test split can tell.", *sentences]
    changes = _delta_m(related)
    seeds = "one seed" if len(changes) == 1 else f"{len(changes)} seeds"
    whose = "all tasks" if len(related) == len(tasks) else ", ".join(one.task for one in related)
    worst = min(related, key=lambda one: statistics.mean(one.changes))
    return [
        f"Δm of {whose} together: {_with_spread(changes, 2, '+')} % ({seeds}); {apart}, as far as the test "
        "split can tell.",
        *sentences,
        f"Worst off against its own model: {worst.task}, {_with_spread(worst.changes, 2, '+')} %.",
    ]


def _tells(found: Any) -> bool:
    """Returns whether a difference is more than chance."""
    return found is not None and found.p_value < _NOISE and found.mean != 0


def _of_task(one: Any) -> str:
    found = one.difference
    if found is None:
        return f"{one.task}: {one.metric} is NaN, or cannot be taken apart by examples: there is no interval."
    interval = f"{found.low:+.4f} to {found.high:+.4f}"
    if not _tells(found):
        return (
            f"{one.task}: no difference between together and alone that the test split can tell ({interval})."
        )
    where = "better together" if found.mean > 0 else "better alone"
    return f"{one.task}: {where}, its {one.metric} by {abs(found.mean):.4f} ({interval})."


HOW_IT_IS_TOLD = (
    "The difference is that of the metric, above 0 where it is better together, with a bootstrap interval "
    "over parts of the test split; p is how often signs drawn at random for the parts give as much."
)


def baseline_page(
    title: str, tasks: Sequence[Any], together: dict[str, Any], flops: int | None, seeds: Sequence[int]
) -> str:
    """Returns the page of a comparison in Markdown.

    Args:
        title: What was compared.
        tasks: The tasks.
        together: The config of a run of all tasks.
        flops: The floating-point operations of its model for one example, or `None`.
        seeds: The seeds.
    """
    alone = sum(one.parameters for one in tasks)
    operations = f"| operations for one example | {flops or 0:,} | {sum(one.flops or 0 for one in tasks):,} |"
    seconds = sum(statistics.mean(one.seconds) for one in tasks)
    lines = [
        f"# {title}",
        "",
        *verdict(tasks),
        "",
        markdown(baseline_table(tasks)),
        "",
        f"Test split, seeds {', '.join(map(str, seeds))}; the epoch of each run is chosen on the validation",
        "split. ± is the standard deviation over the seeds.",
        *textwrap.wrap(HOW_IT_IS_TOLD, 100),
        "",
        "| | together | alone, all models |",
        "| --- | ---: | ---: |",
        f"| weights | {together['parameters']:,} | {alone:,} |",
        *([operations] if flops else []),
        f"| seconds of training, a seed | {together['seconds']:.0f} | {seconds:.0f} |",
    ]
    return "\n".join(lines) + "\n"


def _with_spread(values: Sequence[float], places: int = 4, sign: str = "") -> str:
    mean = f"{statistics.mean(values):{sign}.{places}f}"
    return f"{mean} ± {statistics.stdev(values):.{places}f}" if len(values) > 1 else mean
