"""The commands, one function each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from mtlkeras._app.cli.baseline import baseline as baseline
from mtlkeras._app.cli.report import page_after_training, results_in
from mtlkeras._app.cli.report import report as report
from mtlkeras._app.cli.tune import tune as tune
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe, describe_recipe, find_recipe
from mtlkeras._app.recipe import recipes as known_recipes
from mtlkeras._app.report import print_table, task_table
from mtlkeras._app.runs.explain import check_picture, explain
from mtlkeras._app.runs.folder import RunFolder, check_run_dir, find_run, is_run, last_run
from mtlkeras._app.runs.inputs import read_inputs
from mtlkeras._app.runs.options import TrainOptions, writes_files
from mtlkeras._app.runs.predict import first_examples, head_of, json_lines
from mtlkeras._app.runs.train import choose_fastest, prepare
from mtlkeras._app.runs.train import train as train_job

_ENDINGS = {"tf_saved_model": "_saved_model", "onnx": ".onnx", "litert": ".tflite"}


def train(args: argparse.Namespace) -> None:
    """Trains a recipe."""
    if args.overwrite and args.resume:
        raise ValueError("--overwrite and --resume do not go together: replace the run, or go on with it.")
    if args.overwrite and not args.run_dir:
        raise ValueError("--overwrite needs --run-dir, the folder of the run to replace.")
    _check_data_dir(args.data_dir)
    say: Callable[[str], None] = (lambda text: None) if args.quiet else _say
    recipe, options, run = _to_train(args)
    say(f"{recipe.name}: {recipe.about}")
    if run is None or run.config["status"] != "finished":
        job = prepare(recipe, options)
        sizes = ", ".join(f"{split} {_batches(dataset)}" for split, dataset in job.data.items())
        weights = f"{job.model.count_params():,} weights"
        say(f"batches of {job.batch_size}: {sizes}; {weights}; {job.epochs} epochs")
        if options.fast and run is None:
            choose_fastest(job, say)
        run = train_job(job, say, run)
        if writes_files(options):
            # Predictions of several devices would wait for all; the model in the file is that of one.
            model = run.model() if options.strategy else job.model
            page_after_training(run, model, job.data)
    if not writes_files(options):
        return
    if args.quiet:
        print(run)
        return
    config = run.config
    title = (
        f"{recipe.name}, epoch {config['best_epoch']} of {config['epochs_done']} (best {config['monitor']})"
    )
    print_table(task_table(run.read_json("metrics.json"), config["tasks"]), title)
    say(f"expected: {config['expected']}")
    say(f"results: {results_in(run, 'report.md')} ({config['seconds']:.0f} s)")


def _to_train(args: argparse.Namespace) -> tuple[Recipe, TrainOptions, RunFolder | None]:
    """Returns recipe, options, and the run to go on with or `None` for a new one."""
    options = _options(args)
    if args.resume and not args.run_dir and is_run(Path(args.recipe)):
        run = RunFolder(args.recipe)
        return run.recipe(), options.continued(run), run
    recipe = Recipe(find_recipe(args.recipe))
    if not args.resume:
        if args.run_dir and writes_files(options):
            check_run_dir(args.run_dir, args.overwrite)
        return recipe, options, None
    if args.run_dir and not is_run(Path(args.run_dir)):
        check_run_dir(args.run_dir, overwrite=False)
        return recipe, options, None
    run = RunFolder(args.run_dir) if args.run_dir else last_run(recipe.name)
    if run.config["recipe"] != recipe.name:
        raise ValueError(f"{run} is a run of recipe '{run.config['recipe']}', not of '{recipe.name}'.")
    return run.recipe(), options.continued(run), run


def _options(args: argparse.Namespace) -> TrainOptions:
    given = vars(args)
    names = (
        "epochs",
        "batch_size",
        "seed",
        "run_dir",
        "data_dir",
        "overwrite",
        "check_inputs",
        "watch_gradients",
        "on_nan",
        "jit",
        "fast",
        "strategy",
        "export",
        "pictures",
    )
    # A progress bar redraws its line, which is noise in a file or pipe.
    verbose = 0 if args.quiet else 1 if sys.stdout.isatty() else 2
    return TrainOptions(
        **{name: given[name] for name in names},
        tasks=args.tasks,
        dtype_policy=args.dtype_policy,
        settings=dict(args.settings),
        verbose=verbose,
    )


def _batches(dataset: Any) -> str:
    count = int(dataset.cardinality())
    return "?" if count < 0 else str(count)


def evaluate(args: argparse.Namespace) -> None:
    """Evaluates the model of a run on a split."""
    run, recipe, model = _open(args)
    config = run.config
    data = recipe.data(args.split, config["batch_size"], _data_dir(args, config), model, _values(config))
    logs = model.evaluate(data, verbose=0, return_dict=True)
    print_table(task_table({args.split: logs}, config["tasks"]), f"{run}")


def predict(args: argparse.Namespace) -> None:
    """Writes the predicted labels as JSON lines."""
    if args.explain is not None:
        check_picture(args.explain)
    elif args.at is not None:
        raise ValueError("--at needs --explain.")
    run, recipe, model = _open(args)
    config = run.config
    if args.input:
        inputs = head_of(_read(args, recipe, model, config), args.limit)
    else:
        hp = _values(config)
        data = recipe.data(args.split or "test", config["batch_size"], _data_dir(args, config), hp=hp)
        inputs = first_examples(data, args.limit)
    lines = json_lines(model.predict_labels(inputs, batch_size=config["batch_size"], verbose=0))
    if args.output is None:
        for line in lines:
            print(line)
    else:
        text = "".join(f"{line}\n" for line in lines)
        Path(args.output).write_text(text, encoding="utf-8")
        _say(f"{text.count(chr(10))} predictions: {args.output}", sys.stderr)
    if args.explain is not None:
        _explain(args, model, head_of(inputs, 1))


def _explain(args: argparse.Namespace, model: Any, inputs: Any) -> None:
    # Behind the predictions: on the terminal, where those are lines for programs.
    for line in explain(model, inputs, args.explain, args.at, lambda text: _say(text, sys.stderr)):
        _say(line, sys.stderr)


def _read(args: argparse.Namespace, recipe: Recipe, model: Any, config: dict[str, Any]) -> Any:
    read = recipe.function("read")
    if read is None:
        return read_inputs(args.input, model)
    import numpy as np

    parts = [read(path, _data_dir(args, config)) for path in args.input]
    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def export(args: argparse.Namespace) -> None:
    """Exports the model of a run."""
    run, _, model = _open(args)
    output = args.output or f"{run.path.resolve().name}{_ENDINGS[args.format]}"
    model.export(output, format=args.format)
    _say(f"exported: {output}")


def recipes(args: argparse.Namespace) -> None:
    """Lists the recipes."""
    found = known_recipes()
    if not found:
        raise FileNotFoundError(
            "This installation has no recipes. A recipe of your own is given by its path."
        )
    width = max(map(len, found))
    for name, path in found.items():
        print(f"{name:{width}}  {describe_recipe(path)}")


def _open(args: argparse.Namespace) -> tuple[RunFolder, Recipe, Any]:
    """Opens a run, its recipe first, as that may define layers of the model."""
    run = find_run(args.run)
    _check_data_dir(getattr(args, "data_dir", None))
    config = run.config
    if config["status"] != "finished":
        _say(f"note: {run} is {config['status']}; its best model so far is used", sys.stderr)
    recipe = run.recipe()
    return run, recipe, run.model()


def _data_dir(args: argparse.Namespace, config: dict[str, Any]) -> str | None:
    return args.data_dir or config["data_dir"]


def _values(config: dict[str, Any]) -> HyperParameters:
    """Returns the values that the model of a run was built with."""
    return HyperParameters(config.get("settings"))


def _check_data_dir(data_dir: str | None) -> None:
    if data_dir is not None and not Path(data_dir).is_dir():
        raise FileNotFoundError(f"--data-dir {data_dir} is not a folder.")


def _say(text: str, file: Any = None) -> None:
    print(text, file=file, flush=True)
