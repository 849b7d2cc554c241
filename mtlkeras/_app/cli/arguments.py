"""What can be written after `mtlkeras`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from mtlkeras import __version__

FORMATS = ("tf_saved_model", "onnx", "litert")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    top = argparse.ArgumentParser(
        "mtlkeras", description="Multi-task models: train, tune, compare, report, evaluate, predict, export."
    )
    top.add_argument("--version", action="version", version=f"mtlkeras {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _train(commands)
    _tune(commands)
    _baseline(commands)
    _report(commands)
    _evaluate(commands)
    _predict(commands)
    _export(commands)
    _add(commands, "recipes", "list the recipes that come with mtlkeras")
    return top


def _add(commands: argparse._SubParsersAction, name: str, about: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return command


def _train(commands: argparse._SubParsersAction) -> None:
    train = _add(commands, "train", "train a recipe into a run folder")
    train.add_argument(
        "recipe",
        metavar="RECIPE",
        help="name of a recipe, or path of a recipe's .py file; with --resume also the folder of a run",
    )
    _count_option(train, "--epochs", "number of epochs, instead of the recipe's")
    _count_option(train, "--batch-size", "examples in a batch")
    _seed(train, "seed of initial weights, dropout and the like")
    _run_dir(train, "folder of the run; by default the next runs/RECIPE-N")
    train.add_argument("--overwrite", action="store_true", help="replace the run in --run-dir")
    train.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in --run-dir, or with the recipe's latest one; start it if it is not there",
    )
    _data_dir(train)
    _settings(train, "value of a hyperparameter of the recipe; may be given several times")
    train.add_argument("--check-inputs", action="store_true", help="stop at NaN or infinity in the inputs")
    train.add_argument(
        "--watch-gradients",
        action="store_true",
        help="log after each epoch whether the tasks' gradients agree, and the share of each",
    )
    train.add_argument(
        "--on-nan",
        choices=("stop", "skip"),
        default="stop",
        help="at a loss of NaN: %(choices)s the step, which is undone and counted; by default stop",
    )
    train.add_argument(
        "--jit", action=argparse.BooleanOptionalAction, help="compile the training step with XLA or not"
    )
    train.add_argument(
        "--fast",
        action="store_true",
        help="measure a few steps, and choose XLA and the steps per execution by that",
    )
    train.add_argument(
        "--strategy",
        choices=("one_device", "mirrored", "multi_worker"),
        help="devices to train on: %(choices)s; by default one, without tf.distribute",
    )
    train.add_argument(
        "--tasks", type=_tasks, metavar="TASK,...", help="train some of the tasks, without the others"
    )
    _dtype_policy(train)
    train.add_argument(
        "--pictures",
        type=_whole,
        metavar="N",
        help="write pictures for TensorBoard every N epochs, 0 for none; by default as often as takes "
        "a twentieth of the time, and at the end",
    )
    train.add_argument("--no-export", dest="export", action="store_false", help="write no SavedModel")
    train.add_argument("--quiet", action="store_true", help="print nothing but the run folder")


def _tune(commands: argparse._SubParsersAction) -> None:
    tune = _add(commands, "tune", "search the hyperparameters of a recipe into a folder")
    tune.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or path of a recipe's .py file")
    tune.add_argument(
        "--tuner", metavar="NAME", help="bayesian (by default), random, grid or hyperband, as in KerasTuner"
    )
    tune.add_argument(
        "--objective",
        metavar="NAME",
        help="a metric such as val_loss, or delta, rank or weighted over all tasks",
    )
    _several(
        tune,
        "--reference",
        "references",
        _reference,
        "for delta and rank: a run, or a value by task or metric; may be given several times",
        metavar="RUN|KEY=VALUE",
    )
    _several(
        tune,
        "--weight",
        "weights",
        _number_setting,
        "for weighted: a weight by task or metric; may be given several times",
    )
    for name, about in _LIMITS.items():
        _count_option(tune, name, about)
    tune.add_argument("--max-minutes", type=_positive, metavar="M", help="begin no trial after M minutes")
    _seed(tune, "seed of the search and of the initial weights")
    _run_dir(tune, "folder of the search; by default the next runs/RECIPE-search-N")
    tune.add_argument(
        "--resume",
        action="store_true",
        help="go on with the search in --run-dir, or with the recipe's last one",
    )
    tune.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="processes on this machine; 1 by default"
    )
    tune.add_argument(
        "--chief-timeout",
        type=_positive,
        default=120.0,
        metavar="S",
        help="seconds that a worker waits for its chief, 120 by default",
    )
    _data_dir(tune)
    _settings(tune, "hold a hyperparameter at a value; may be given several times")


_LIMITS = {
    "--trials": "most trials; 20 by default, for hyperband as many as it needs",
    "--epochs": "epochs of a trial, for hyperband the most, instead of the recipe's",
    "--steps-per-epoch": "most training steps in an epoch, for trials on part of the data",
    "--batch-size": "examples in a batch",
    "--max-parameters": "train no model with more weights",
    "--max-flops": "train no model with more floating-point operations per example",
}


def _baseline(commands: argparse._SubParsersAction) -> None:
    command = _add(commands, "baseline", "train the tasks of a recipe together and each alone, and compare")
    command.add_argument(
        "recipe",
        metavar="RECIPE|RUN",
        help="name of a recipe, path of a recipe's .py file, or folder of a finished run, to be taken over",
    )
    command.add_argument(
        "--seeds",
        type=_count,
        default=1,
        metavar="N",
        help="number of seeds, from the recipe's on; by default 1",
    )
    command.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="trainings at a time; 1 by default"
    )
    _count_option(command, "--epochs", "number of epochs, instead of the recipe's")
    _count_option(command, "--batch-size", "examples in a batch")
    _seed(command, "the first seed")
    _run_dir(command, "folder of all runs, to go on in it; by default the next runs/RECIPE-baseline-N")
    _data_dir(command)
    _settings(command, "value of a hyperparameter of the recipe; may be given several times")
    _several(
        command,
        "--metric",
        "metrics",
        _setting,
        "metric that a task is compared by, instead of its head's first; may be given several times",
        "TASK=METRIC",
    )
    command.add_argument(
        "--dtype-policy", metavar="POLICY", help="Keras dtype policy, such as mixed_bfloat16"
    )
    command.add_argument("--quiet", action="store_true", help="print nothing but the folder")


def _report(commands: argparse._SubParsersAction) -> None:
    command = _add(commands, "report", "write a page of a run, or of several side by side")
    command.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="folder of a run, a search or a comparison, or its name within runs/; of several runs the tasks "
        "must be the same",
    )
    command.add_argument(
        "--out",
        metavar="FILE",
        help="the page, an .html file; by default report.html in the run's folder, of several runs beside "
        "that of the first. Tables and pictures are written into a folder of the same name",
    )
    command.add_argument(
        "--fail-on",
        type=_check_ids,
        default=(),
        metavar="ID,...|any",
        help="end with status 3 if one of these checks finds something",
    )
    _data_dir(command)


def _evaluate(commands: argparse._SubParsersAction) -> None:
    evaluate = _add(commands, "evaluate", "evaluate the model of a run")
    _run(evaluate)
    _split(evaluate, default="test")
    _data_dir(evaluate)


def _predict(commands: argparse._SubParsersAction) -> None:
    predict = _add(commands, "predict", "print the labels that the model of a run predicts, as JSON lines")
    _run(predict)
    source = predict.add_mutually_exclusive_group()
    source.add_argument(
        "--input", nargs="+", metavar="FILE", help="what to predict for: .npy, .npz, .csv files or pictures"
    )
    _split(source, default=None)
    _count_option(predict, "--limit", "only the first N examples")
    predict.add_argument("--output", metavar="FILE", help="where to write the lines; by default the terminal")
    predict.add_argument(
        "--explain",
        nargs="?",
        const="explanation.png",
        metavar="FILE",
        help="draw what the parts of the first example add to each task's answer, by integrated gradients "
        "and occlusion, into FILE (by default explanation.png), with the numbers as .csv beside it",
    )
    predict.add_argument(
        "--at", type=_whole, metavar="N", help="with --explain: the step of tasks that answer for every step"
    )
    _data_dir(predict)


def _export(commands: argparse._SubParsersAction) -> None:
    export = _add(commands, "export", "export the model of a run for serving")
    _run(export)
    export.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="%(choices)s; by default the first"
    )
    export.add_argument(
        "--output",
        metavar="PATH",
        help="where to write it; by default named like the run, in the current folder",
    )


def _run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="folder of a run, or its name within runs/")


def _split(command: argparse._ActionsContainer, default: str | None) -> None:
    command.add_argument(
        "--split", choices=("train", "valid", "test"), default=default, help="%(choices)s; by default test"
    )


def _data_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data-dir", metavar="DIR", help="folder of the data sets; by default MTLKERAS_DATA"
    )


def _count_option(command: argparse.ArgumentParser, name: str, about: str) -> None:
    command.add_argument(name, type=_count, metavar="N", help=about)


def _seed(command: argparse.ArgumentParser, about: str) -> None:
    command.add_argument("--seed", type=int, metavar="N", help=about)


def _dtype_policy(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dtype-policy", metavar="POLICY", help="Keras dtype policy, as mixed_bfloat16")


def _run_dir(command: argparse.ArgumentParser, about: str) -> None:
    command.add_argument("--run-dir", metavar="DIR", help=about)


def _settings(command: argparse.ArgumentParser, about: str) -> None:
    _several(command, "--set", "settings", _setting, about)


def _several(
    command: argparse.ArgumentParser,
    name: str,
    attribute: str,
    parse: Callable[[str], Any],
    about: str,
    metavar: str = "KEY=VALUE",
) -> None:
    """Adds an option that may be given several times, for a list of what it parses to."""
    command.add_argument(
        name, dest=attribute, action="append", default=[], type=parse, metavar=metavar, help=about
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, received {text!r}")
    return int(text)


def _tasks(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if "" in names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"expected tasks as in a,b, each once, received {text!r}")
    return names


def _check_ids(text: str) -> tuple[str, ...]:
    ids = tuple(one.strip() for one in text.split(","))
    if "" in ids:
        raise argparse.ArgumentTypeError(f"expected ids of checks as in A,B, or any; received {text!r}")
    return ids


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, received {text!r}")
    return name, value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number greater than zero, received {text!r}")
    return value


def _number_setting(text: str) -> tuple[str, float]:
    name, value = _setting(text)
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected KEY=NUMBER, received {text!r}") from None


def _reference(text: str) -> str | tuple[str, float]:
    return _number_setting(text) if "=" in text else text
