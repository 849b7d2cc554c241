"""The page of a run: what was run, what came out, and how to use it."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from mtlkeras._app.report.tables import markdown, task_table
from mtlkeras._files import write_text


def write_report(
    folder: Path,
    model: Any,
    config: Mapping[str, Any],
    history: Mapping[str, Sequence[float]],
    metrics: Mapping[str, Mapping[str, float]],
    data: Iterable[Any] = (),
) -> None:
    """Writes `report.md` and its pictures into the folder of a run.

    Args:
        folder: The folder.
        model: The trained model.
        config: What was run, as in the run's `config.json`.
        history: Values per epoch, as `fit` gives them.
        metrics: Results by split, as `evaluate` gives them.
        data: Batches of inputs and labels, of the first of which gates and answers for pixels are
            drawn.
    """
    pictures = _draw_all(folder, model, config, history, data)
    table = markdown(task_table(metrics, list(model.heads)))
    write_text(folder / "report.md", _page(folder, config, table, pictures))


def _draw_all(
    folder: Path, model: Any, config: Mapping[str, Any], history: Any, data: Iterable[Any]
) -> dict[str, str]:
    """Draws what the installed packages allow; returns the files' titles by name."""
    if importlib.util.find_spec("matplotlib") is None:
        return {}
    from mtlkeras._app.report.answers import batch_with_labels, draw_answers
    from mtlkeras._app.report.curves import draw_curves
    from mtlkeras._app.report.diagram import draw_model
    from mtlkeras._app.report.gates import draw_gates

    draw_model(folder / "model.png", model)
    draw_curves(folder / "curves.png", history, list(model.heads), config.get("best_epoch"))
    pictures = {"curves.png": "Training curves", "model.png": "Model"}
    batch = batch_with_labels(model, data)
    if batch is not None and draw_gates(folder / "gates.png", model, batch[0]):
        pictures["gates.png"] = "Mean weights of the gates on a batch of the validation split"
    answers = None if batch is None else draw_answers(folder / "answers.png", model, *batch[:2])
    if answers is not None:
        pictures["answers.png"] = answers
    if shutil.which("dot") and importlib.util.find_spec("pydot"):
        keras.utils.plot_model(model, str(folder / "layers.png"), show_shapes=True, expand_nested=True)
        pictures["layers.png"] = "All layers"
    return pictures


def _page(folder: Path, config: Mapping[str, Any], table: str, pictures: Mapping[str, str]) -> str:
    parts = [
        f"# {config['recipe']}: {config['about']}",
        f"Results of epoch {config['best_epoch']} of {config['epochs_done']}, the best by "
        f"`{config['monitor']}`.",
        table,
        f"Expected: {config['expected']}",
        *(f"![{title}]({name})" for name, title in pictures.items()),
        "## What was run",
        _settings(config),
        "## Files",
        "\n".join(f"- `{name}`: {what}" for name, what in _FILES.items() if (folder / name).exists()),
    ]
    return "\n\n".join(parts) + "\n"


_FILES = {
    "model.keras": "the model of the best epoch; `keras.saving.load_model` after `import mtlkeras`",
    "saved_model": "the same for use without mtlkeras: `tf.saved_model.load`, then `serve` or `serve_raw`",
    "metrics.json": "the results above, not rounded",
    "history.json": "all values of all epochs; `history.csv` is the same as a table",
    "config.json": "what was run, with which versions",
    "recipe.py": "the recipe as it was",
    "tensorboard": "the log for TensorBoard",
}


def _phases(names: list[str]) -> str:
    """Returns the phases of a run with the numbers of their epochs."""
    return ", ".join(f"`{name}` {len(list(found))}" for name, found in itertools.groupby(names))


def _settings(config: Mapping[str, Any]) -> str:
    values = {
        "started": config["started"],
        "took": f"{config['seconds']:.0f} s",
        "epochs, batch size, seed": f"{config['epochs']}, {config['batch_size']}, {config['seed']}",
        **({"phases": _phases(config["phases"])} if "phases" in config else {}),
        "weights": f"{config['parameters']:,}",
        "dtype policy": config["dtype_policy"],
        "versions": ", ".join(f"{name} {version}" for name, version in config["versions"].items()),
        **{f"setting `{name}`": value for name, value in config["settings"].items()},
    }
    return "\n".join(f"- {name}: {value}" for name, value in values.items())
