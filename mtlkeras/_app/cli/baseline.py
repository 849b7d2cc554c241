"""`mtlkeras baseline`: the tasks of a recipe together and each alone."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

from mtlkeras._app.cli.quiet import without_retracing_notes
from mtlkeras._app.cli.report import page_of_folder, results_in
from mtlkeras._app.recipe import Recipe, find_recipe
from mtlkeras._app.report import print_table
from mtlkeras._app.report.baseline import baseline_page, baseline_table, verdict
from mtlkeras._app.runs.baseline import (
    TOGETHER,
    baseline_folder,
    compare,
    flops_of,
    metrics_of,
    take_over,
    train_all,
)
from mtlkeras._app.runs.folder import RunFolder, find_run, is_run
from mtlkeras._app.runs.options import TrainOptions


def baseline(args: argparse.Namespace) -> None:
    """Trains the tasks together and each alone, and compares them."""
    without_retracing_notes()
    say: Callable[[str], None] = (lambda text: None) if args.quiet else _say
    run = find_run(args.recipe) if is_run(Path(args.recipe)) else None
    recipe = run.recipe() if run else Recipe(find_recipe(args.recipe))
    options = _options(args, run)
    first = recipe.constant("SEED") if options.seed is None else options.seed
    seeds = list(range(first, first + args.seeds))
    metrics = metrics_of(recipe, options, dict(args.metrics))
    folder = baseline_folder(recipe, args.run_dir, options, args.seeds)
    say(f"{recipe.name}: {recipe.about}\ninto {folder}")
    try:
        if run is not None:
            take_over(run, folder)
        train_all(recipe, options, list(metrics), seeds, folder, say, args.workers)
        compared = compare(recipe, folder, metrics, seeds)
    except BaseException as error:
        error.add_note(f"To go on with the comparison, write the same with --run-dir {folder}")
        raise
    whole = RunFolder(folder.file(f"{TOGETHER}-{seeds[0]}"))
    title = f"{recipe.name}: tasks together and alone"
    page = baseline_page(title, compared, whole.config, flops_of(whole), seeds)
    folder.write_text("baseline.md", page)
    folder.write_json("baseline.json", [dataclasses.asdict(one) for one in compared])
    folder.write_config(status="finished", seeds=args.seeds)
    page_of_folder(folder, options.data_dir)
    if args.quiet:
        print(folder)
        return
    print_table(baseline_table(compared), f"{recipe.name}, test split")
    for sentence in verdict(compared):
        say(sentence)
    say(f"results: {results_in(folder, 'baseline.md')}")


def _options(args: argparse.Namespace, run: RunFolder | None) -> TrainOptions:
    """Returns the options of all runs: those given, or those that a finished run had.

    Raises:
        ValueError: If the run is not finished, has some tasks only, or options are given beside it.
    """
    given = {name: getattr(args, name) for name in ("epochs", "batch_size", "seed", "dtype_policy")}
    verbose = 0 if args.quiet else 2
    if run is None:
        return TrainOptions(**given, data_dir=args.data_dir, settings=dict(args.settings), verbose=verbose)
    wrong = [name for name, value in given.items() if value is not None] + ["settings"] * bool(args.settings)
    if wrong:
        raise ValueError(f"{run} has its own {wrong[0].replace('_', ' ')}: leave it out, or name a recipe.")
    config = run.config
    if config["status"] != "finished" or config["options"].get("tasks"):
        raise ValueError(f"{run} must be a finished run of all tasks; it is {config['status']}.")
    kept = {**config["options"], "seed": config["seed"], "verbose": verbose}
    return TrainOptions(**{**kept, "data_dir": args.data_dir or kept["data_dir"]})


def _say(text: str) -> None:
    print(text, flush=True)
