"""A recipe that trains in a second, and one run of it."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import pytest

from mtlkeras._app.cli import main

TINY = '''"""Sixty-four points: which side they lie on, and how far out.

More of it.
"""

import keras
import numpy as np
import tensorflow as tf

import mtlkeras

EPOCHS = 2
BATCH_SIZE = 16
SEED = 3
MONITOR = "val_side_accuracy"
RESULT = "better than chance"
ADAPT = True


def data(split, batch_size, data_dir=None):
    rng = np.random.default_rng(["train", "valid", "test"].index(split))
    x = rng.normal(size=(64 if split == "train" else 20, 4)).astype("float32")
    y = {"side": (x[:, 0] > 0).astype("int32"), "far": 100 + 10 * np.abs(x).sum(1)}
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)


def build(hp):
    assert hp.Fixed("steps_per_epoch", 0) == 4
    with hp.name_scope("trunk"):
        trunk = mtlkeras.trunks.MLP(depth=1, width=hp.Choice("units", [4, 8], default=8))
    heads = {
        "side": mtlkeras.heads.Classification(2, class_names=("left", "right")),
        "far": mtlkeras.heads.Regression(),
    }
    model = mtlkeras.build_model((4,), trunk, heads)
    # Eagerly: to trace the few steps takes longer than to do them.
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-4, 1.0, default=0.01)), run_eagerly=True)
    return model
'''


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The file of the tiny recipe."""
    path = tmp_path_factory.mktemp("recipes") / "tiny.py"
    path.write_text(TINY)
    return path


@pytest.fixture(autouse=True)
def no_pictures(request, monkeypatch) -> None:
    """Draws nothing, half of the time of a small run, in tests that do not ask for `pictures`."""
    if "pictures" not in request.fixturenames:
        for module in ("page", "search"):
            monkeypatch.setattr(f"mtlkeras._app.report.{module}._draw_all", lambda *args: {})
        monkeypatch.setattr("mtlkeras._app.runs.train._pictures", lambda *args: None)
        for name in ("commands.page_after_training", "baseline.page_of_folder", "tune.page_of_folder"):
            if "plain_pages" not in request.fixturenames or name.startswith("commands"):
                monkeypatch.setattr(f"mtlkeras._app.cli.{name}", lambda *args: None)


@pytest.fixture
def plain_pages(monkeypatch) -> None:
    """Lets comparisons and searches write their pages, without pictures."""
    monkeypatch.setattr("mtlkeras._app.report.html.page._has_matplotlib", lambda: False)


@pytest.fixture
def pictures() -> None:
    """Lets a run draw its pictures."""


@pytest.fixture
def in_tmp(tmp_path, monkeypatch) -> Path:
    """An empty folder as the current one, without a folder of data in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTLKERAS_DATA", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def trained(tiny, tmp_path_factory) -> Path:
    """The folder of a finished run of the tiny recipe; what it said is in `said.txt` two folders up."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "said.txt").write_text(said_by(folder, "train", str(tiny), "--set", "trunk/units=4"))
    return folder / "runs/tiny-1"


def said_by(folder: Path, *words: str) -> str:
    """Runs a command in a folder; returns what it said."""
    before, said = os.getcwd(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(said):
            assert main(list(words)) == 0
    finally:
        os.chdir(before)
    return said.getvalue()
