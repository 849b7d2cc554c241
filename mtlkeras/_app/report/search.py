"""The report of a search: its trials as a table and as pictures, and how to rebuild the best."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras._app.report.tables import Table, markdown, task_table
from mtlkeras._files import write_text

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "0.6"


def best_so_far(trials: Sequence[Any], metrics: Mapping[str, str]) -> dict[str, float]:
    """Returns the best value of each metric among the completed trials.

    Args:
        trials: The trials, with `metrics` by name in the logs.
        metrics: `"min"` or `"max"` by name in the logs.
    """
    found = {}
    for name, direction in metrics.items():
        values = [trial.metrics[name] for trial in trials if name in trial.metrics]
        if values:
            found[name] = (max if direction == "max" else min)(values)
    return found


def mean_ranks(trials: Sequence[Any], metrics: Mapping[str, str]) -> dict[str, float]:
    """Returns the mean of each completed trial's ranks by the metrics; 1 is best, ties share a rank."""
    done = [trial for trial in trials if trial.metrics]
    ranks = []
    for name, direction in metrics.items():
        sign = 1 if direction == "max" else -1
        gains = sign * np.array([trial.metrics[name] for trial in done])
        better = (gains[None] > gains[:, None]).sum(1)
        ranks.append(better + ((gains[None] == gains[:, None]).sum(1) + 1) / 2)
    return dict(zip((trial.trial for trial in done), np.mean(ranks, axis=0), strict=True))


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """Returns the positions that no other beats in both, by rising cost.

    Args:
        costs: What should be low.
        gains: What should be high.
    """
    front: list[int] = []
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i])):
        if not front or gains[i] > gains[front[-1]]:
            front.append(i)
    return front


def trials_table(trials: Sequence[Any], metrics: Mapping[str, str]) -> Table:
    """Makes the table of the completed trials: score, mean rank, each task's metric, size, values."""
    ranks = mean_ranks(trials, metrics)
    names = list(dict.fromkeys(name for trial in trials for name in trial.values))
    header = ["trial", "values", "score", "mean rank", *metrics, "weights", "seconds"]
    rows = []
    for trial in trials:
        if trial.status == "COMPLETED":
            values = ", ".join(
                f"{name}={_short(trial.values[name])}" for name in names if name in trial.values
            )
            numbers = [f"{trial.metrics[name]:.4f}" for name in metrics]
            size = [f"{trial.metrics['parameters']:,.0f}", f"{trial.metrics['seconds']:.0f}"]
            score = "" if trial.score is None else f"{trial.score:.4f}"
            rows.append([trial.trial, values, score, f"{ranks[trial.trial]:.1f}", *numbers, *size])
    return header, rows


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def draw_values(path: Path, trials: Sequence[Any], objective: str) -> bool:
    """Draws the score against each hyperparameter that took several values.

    Returns:
        Whether there was anything to draw.
    """
    from matplotlib.figure import Figure

    done = [trial for trial in trials if trial.status == "COMPLETED"]
    names = [name for name in dict.fromkeys(n for t in done for n in t.values) if _varies(done, name)]
    if not names:
        return False
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(3.6 * columns, 2.8 * rows + 0.2), layout="constrained")
    figure.suptitle("Score by hyperparameter", x=0.01, ha="left", fontsize=10)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for axis, name in zip(axes, names, strict=False):
        _draw_value(axis, [trial for trial in done if name in trial.values], name)
        axis.set_ylabel(objective, fontsize=8)
    for axis in list(axes)[len(names) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=120)
    return True


def _varies(trials: Sequence[Any], name: str) -> bool:
    return len({trial.values[name] for trial in trials if name in trial.values}) > 1


def _draw_value(axis: Any, trials: Sequence[Any], name: str) -> None:
    values = [trial.values[name] for trial in trials]
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    # As text, values stand beside each other in equal distances, zero too.
    order = sorted(set(values)) if numeric else sorted(set(values), key=str)
    many = numeric and len(order) > 6
    if many and min(values) > 0 and max(values) / min(values) > 30:
        axis.set_xscale("log")
    axis.scatter(
        values if many else [order.index(value) for value in values],
        [trial.score for trial in trials],
        color=_BLUE,
        alpha=0.7,
        s=24,
    )
    if not many:
        axis.set_xticks(range(len(order)), [_short(value) for value in order])
    axis.set_xlabel(name, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)


def draw_fronts(path: Path, trials: Sequence[Any], metrics: Mapping[str, str]) -> None:
    """Draws each task's metric against the number of weights, with the Pareto front."""
    from matplotlib.figure import Figure

    done = [trial for trial in trials if trial.metrics]
    sizes = [trial.metrics["parameters"] for trial in done]
    figure = Figure(figsize=(4.4 * len(metrics), 3.6), layout="constrained")
    figure.suptitle("Weights against each task's metric", x=0.01, ha="left", fontsize=10)
    for axis, (name, direction) in zip(
        figure.subplots(1, len(metrics), squeeze=False).flat, metrics.items(), strict=True
    ):
        values = [trial.metrics[name] for trial in done]
        front = pareto_front(sizes, [v if direction == "max" else -v for v in values])
        axis.scatter(sizes, values, color=_GREY, s=24)
        axis.plot(
            [sizes[i] for i in front], [values[i] for i in front], ".-", color=_ORANGE, label="Pareto front"
        )
        for i in front:
            axis.annotate(
                done[i].trial, (sizes[i], values[i]), fontsize=7, xytext=(3, 3), textcoords="offset points"
            )
        axis.set_xlabel("weights", fontsize=9)
        axis.set_ylabel(name, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)


def write_search_report(
    folder: Path, config: Mapping[str, Any], trials: Sequence[Any], results: Mapping[str, Mapping[str, float]]
) -> None:
    """Writes `report.md` and its pictures into the folder of a search.

    Args:
        folder: The folder.
        config: The search's configuration.
        trials: The trials, at least one of them completed.
        results: Results of the best model by split, as `evaluate` gives them.
    """
    metrics = config["task_metrics"]
    pictures = _draw_all(folder, trials, metrics, config["monitor"])
    failed = [trial for trial in trials if trial.status != "COMPLETED"]
    what = "higher" if config["direction"] == "max" else "lower"
    parts = [
        f"# Search of {config['recipe']}: {config['about']}",
        f"The best of {len(trials)} trials ({len(failed)} not completed) by `{config['monitor']}`, {what} is "
        f"better, is trial {config['best_trial']}. Trial {trials[0].trial} has the recipe's default values.",
        markdown(task_table(results, config["tasks"])),
        f"This trains it again from the start{_whole_epochs(config)}:",
        f"```sh\n{config['command']}\n```",
        "## Trials",
        markdown(trials_table(trials, metrics)),
        *(f"![{title}]({name})" for name, title in pictures.items()),
        *_failures(failed),
        "## What was searched",
        _settings(config),
        "## Files",
        "\n".join(f"- `{name}`: {what}" for name, what in _FILES.items() if (folder / name).exists()),
    ]
    write_text(folder / "report.md", "\n\n".join(parts) + "\n")


def _draw_all(
    folder: Path, trials: Sequence[Any], metrics: Mapping[str, str], objective: str
) -> dict[str, str]:
    """Draws what the installed packages allow; returns the files' titles by name."""
    if importlib.util.find_spec("matplotlib") is None:
        return {}
    pictures = {}
    if draw_values(folder / "values.png", trials, objective):
        pictures["values.png"] = "Score against each hyperparameter"
    draw_fronts(folder / "fronts.png", trials, metrics)
    return {**pictures, "fronts.png": "Weights against each task's metric"}


def _whole_epochs(config: Mapping[str, Any]) -> str:
    steps = config["options"].get("steps_per_epoch")
    return f", in whole epochs instead of {steps} steps each" if steps else ""


def _failures(failed: Sequence[Any]) -> list[str]:
    if not failed:
        return []
    lines = [f"- trial {trial.trial}: {trial.failure or 'not finished'}" for trial in failed]
    return ["## Trials that were not completed", "\n".join(lines)]


def _settings(config: Mapping[str, Any]) -> str:
    told = {name: value for name, value in config["options"].items() if value not in (None, {}, [])}
    space = [
        f"`{entry['config']['name']}` ({entry['class_name']}, default {_default(entry['config'])})"
        for entry in config["fingerprint"]["space"]
    ]
    values = {
        **told,
        "space": "; ".join(space),
        "versions": ", ".join(map(" ".join, config["versions"].items())),
    }
    return "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in values.items())


def _default(entry: Mapping[str, Any]) -> Any:
    return entry["value"] if "value" in entry else entry["default"]


_FILES = {
    "model.keras": "the model of the best trial at its best epoch: `mtlkeras.load_model`",
    "trials.csv": "all trials with their values, metrics and failures; `trials.json` is the same",
    "metrics.json": "results of the best model on the validation and the test split, not rounded",
    "config.json": "what was searched, with which versions",
    "trials": "KerasTuner's own files and the weights of each trial",
    "tensorboard": "the log for TensorBoard, whose HParams view compares the trials",
    "workers": "what the worker processes said",
    "recipe.py": "the recipe as it was",
}
