"""`mtlkeras tune`: the command, and what is seen of a search while it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtlkeras._app.cli.quiet import without_retracing_notes
from mtlkeras._app.cli.report import page_of_folder, results_in
from mtlkeras._app.recipe import Recipe, find_recipe
from mtlkeras._app.report import print_table, task_table
from mtlkeras._app.report.search import best_so_far, trials_table

_TAKEN = (
    *("tuner", "trials", "max_minutes", "max_parameters", "max_flops", "objective", "epochs", "batch_size"),
    *("steps_per_epoch", "seed", "run_dir", "resume", "workers", "data_dir", "chief_timeout"),
)


def tune(args: argparse.Namespace) -> None:
    """Searches the hyperparameters of a recipe."""
    from mtlkeras._app.runs.search import search
    from mtlkeras._app.runs.search_plan import SearchOptions, prepare_search

    without_retracing_notes()
    if args.data_dir is not None and not Path(args.data_dir).is_dir():
        raise FileNotFoundError(f"--data-dir {args.data_dir} is not a folder.")
    recipe = Recipe(find_recipe(args.recipe))
    if recipe.constant("PHASES"):
        raise ValueError(
            f"Recipe '{recipe.name}' has PHASES, which a search does not train in. Search a recipe without "
            "them, and give what it finds to this one with --set."
        )
    _say(f"{recipe.name}: {recipe.about}")
    options = SearchOptions(
        **{name: getattr(args, name) for name in _TAKEN},
        settings=dict(args.settings),
        weights=dict(args.weights),
        reference=tuple(args.references),
    )
    plan = prepare_search(recipe, options)
    free = [hp.name for hp in plan.space.space if type(hp).__name__ != "Fixed"]
    _say(f"{plan.options.tuner} search of {', '.join(free)} by {plan.goal.name}")
    with _progress(plan.config) as progress:
        run = search(plan, progress.say, progress.update)
    if plan.role == "worker":
        return
    page_of_folder(run, plan.options.data_dir)
    config = run.config
    trials = run.read_json("trials.json")
    failed = sum(trial["status"] != "COMPLETED" for trial in trials)
    results = run.read_json("metrics.json")
    print_table(task_table(results, config["tasks"]), f"best of {len(trials)} trials: {config['best_trial']}")
    _say(
        f"{failed} trials not completed; their reasons are in the report"
        if failed
        else "all trials completed"
    )
    _say(f"to train it again: {config['command']}")
    _say(f"results: {results_in(run, 'report.md')} ({config['seconds']:.0f} s)")


def _say(text: str) -> None:
    print(text, flush=True)


class Lines:
    """Tells of a search in lines, one for each trial that has ended.

    Args:
        config: The search's configuration.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._told: set[str] | None = None

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: Any) -> None:
        """There is nothing to put away."""

    def say(self, text: str) -> None:
        """Prints a line."""
        _say(text)

    def update(self, trials: Sequence[Any]) -> None:
        """Prints a line for each trial that has ended since the last call."""
        for trial in trials:
            if self._is_news(trial):
                self.say(self._line(trial, trials))

    def _is_news(self, trial: Any) -> bool:
        if self._told is None:
            self._told = set()
        if trial.status == "RUNNING" or trial.trial in self._told:
            return False
        self._told.add(trial.trial)
        return True

    def _line(self, trial: Any, trials: Sequence[Any]) -> str:
        values = ", ".join(f"{name}={value}" for name, value in trial.values.items())
        if trial.status != "COMPLETED":
            return f"trial {trial.trial} failed: {trial.failure} ({values})"
        so_far = best_so_far(trials, self._config["task_metrics"])
        best = ", ".join(f"{name.removeprefix('val_')} {value:.4f}" for name, value in so_far.items())
        size, seconds = trial.metrics["parameters"], trial.metrics["seconds"]
        return (
            f"trial {trial.trial}: {trial.score:.4f} ({values}; {size:,.0f} weights, {seconds:.0f} s) "
            f"best so far: {best}"
        )


class LiveTable(Lines):
    """Draws the trials as a table that grows in place; needs rich and a terminal."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        from rich.live import Live

        super().__init__(config)
        self._live = Live(refresh_per_second=2)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._live.console.print(text, highlight=False)

    def update(self, trials: Sequence[Any]) -> None:
        self._live.update(live_table(trials, self._config))


def live_table(trials: Sequence[Any], config: Mapping[str, Any], rows: int = 15) -> Any:
    """Makes the table that is shown while a search runs, as a `rich.table.Table`.

    Args:
        trials: The trials.
        config: The search's configuration.
        rows: How many trials are shown, the last ones.
    """
    from rich import box
    from rich.table import Table

    metrics = config["task_metrics"]
    header, done = trials_table(trials, metrics)
    by_trial = {row[0]: row for row in done}
    so_far = best_so_far(trials, metrics)
    best = ", ".join(f"{name.removeprefix('val_')} {value:.4f}" for name, value in so_far.items())
    table = Table(*header, box=box.SIMPLE_HEAD, caption=f"best so far: {best or 'none yet'}")
    for trial in trials[-rows:]:
        values = ", ".join(f"{name}={value}" for name, value in trial.values.items())
        state = "running" if trial.status == "RUNNING" else f"failed: {trial.failure}"
        table.add_row(*by_trial.get(trial.trial, [trial.trial, values, state]))
    return table


def _progress(config: Mapping[str, Any]) -> Lines:
    try:
        import rich  # noqa: F401
    except ImportError:
        return Lines(config)
    return LiveTable(config) if sys.stdout.isatty() else Lines(config)
