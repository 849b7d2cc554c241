"""Results as tables: one row per task and split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Table = tuple[list[str], list[list[str]]]
"""The header and the rows."""

OF_GRADIENTS = ("cosine", "gradient_share")
"""How names in the logs end that tell of the tasks' gradients, and not how well a task does."""

ALL_TASKS = "all tasks"


def split_name(name: str, tasks: Iterable[str]) -> tuple[str, str]:
    """Returns task and metric of a name in the logs; the task is `""` for the joint loss.

    Where one task's name begins with another's, the longer one is meant.
    """
    for task in sorted(tasks, key=len, reverse=True):
        if name.startswith(f"{task}_"):
            return task, name[len(task) + 1 :]
    return "", name


def by_task(logs: Mapping[str, float], tasks: Sequence[str]) -> dict[str, dict[str, float]]:
    """Sorts logs into metrics by task, the loss first; the joint loss is under `""`."""
    sorted_logs: dict[str, dict[str, float]] = {task: {} for task in [*tasks, ""]}
    for name in sorted(logs, key=lambda name: not name.endswith("loss")):
        task, metric = split_name(name, tasks)
        sorted_logs[task][metric] = logs[name]
    return sorted_logs


def task_table(results: Mapping[str, Mapping[str, float]], tasks: Sequence[str]) -> Table:
    """Makes the table of results: a row per task and split, a column per metric.

    Args:
        results: Logs as `evaluate` gives them, by split.
        tasks: The tasks in the order of the rows.
    """
    cells = {split: by_task(logs, tasks) for split, logs in results.items()}
    metrics = list(dict.fromkeys(m for logs in cells.values() for values in logs.values() for m in values))
    rows = []
    for task in [*tasks, ""]:
        for split, logs in cells.items():
            rows.append([task or ALL_TASKS, split, *(_number(logs[task].get(m)) for m in metrics)])
    return ["task", "split", *metrics], rows


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.3e}"


def markdown(table: Table) -> str:
    """Returns a table in Markdown, aligned so that it also reads well as plain text."""
    header, rows = table
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * w if i < 2 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join(_line(row, widths) for row in [header, rule, *rows])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        text.ljust(w) if i < 2 else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
    ]
    return f"| {' | '.join(aligned)} |"


def print_table(table: Table, title: str) -> None:
    """Prints a table, with rules and colours where rich is installed."""
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
    except ImportError:
        print(f"{title}\n{markdown(table)}", flush=True)
        return
    header, rows = table
    drawn = RichTable(box=box.SIMPLE_HEAD)
    for i, name in enumerate(header):
        drawn.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
    for i, row in enumerate(rows):
        last_of_task = i + 1 == len(rows) or rows[i + 1][0] != row[0]
        first_of_task = i == 0 or rows[i - 1][0] != row[0]
        drawn.add_row(row[0] if first_of_task else "", *row[1:], end_section=last_of_task)
    console = Console()
    console.print(f"[bold]{title}[/bold]", drawn, sep="\n")
