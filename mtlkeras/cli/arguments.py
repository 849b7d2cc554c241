"""What can be written after `mtlkeras`."""

from __future__ import annotations

import argparse

from mtlkeras import __version__

FORMATS = ("tf_saved_model", "onnx", "litert")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
    top = argparse.ArgumentParser(
        "mtlkeras", description="Multi-task models: train, evaluate, predict, export."
    )
    top.add_argument("--version", action="version", version=f"mtlkeras {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _train(commands)
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
    train.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or path of a recipe's .py file")
    train.add_argument("--epochs", type=_count, metavar="N", help="number of epochs, instead of the recipe's")
    train.add_argument("--batch-size", type=_count, metavar="N", help="examples in a batch")
    train.add_argument("--seed", type=int, metavar="N", help="seed of initial weights, dropout and the like")
    train.add_argument(
        "--run-dir", metavar="DIR", help="folder of the run; by default the next runs/RECIPE-N"
    )
    train.add_argument("--overwrite", action="store_true", help="replace the run in --run-dir")
    _data_dir(train)
    train.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=_setting,
        metavar="KEY=VALUE",
        help="value of a hyperparameter of the recipe; may be given several times",
    )
    train.add_argument("--check-inputs", action="store_true", help="stop at NaN or infinity in the inputs")
    train.add_argument(
        "--jit", action=argparse.BooleanOptionalAction, help="compile the training step with XLA or not"
    )
    train.add_argument("--dtype-policy", metavar="POLICY", help="Keras dtype policy, such as mixed_bfloat16")
    train.add_argument("--no-export", dest="export", action="store_false", help="write no SavedModel")
    train.add_argument("--quiet", action="store_true", help="print nothing but the run folder")


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
    predict.add_argument("--limit", type=_count, metavar="N", help="only the first N examples")
    predict.add_argument("--output", metavar="FILE", help="where to write the lines; by default the terminal")
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


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, received {text!r}")
    return int(text)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, received {text!r}")
    return name, value
