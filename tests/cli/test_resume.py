"""`mtlkeras train --resume`: a killed run ends as one that was not."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mtlkeras._app.cli import main

pytestmark = pytest.mark.tensorflow

# Shuffling, augmentation, dropout, batch normalisation and Adam.
RECIPE = '''"""Points that are shuffled, moved and dropped."""

import keras
import numpy as np
import tensorflow as tf

import mtlkeras

EPOCHS = 6
BATCH_SIZE = 16
SEED = 3
MONITOR = "val_side_loss"
RESULT = "the same, killed or not"


def data(split, batch_size, data_dir=None):
    rng = np.random.default_rng(["train", "valid", "test"].index(split))
    x = rng.normal(size=(200 if split == "train" else 40, 4)).astype("float32")
    y = {"side": (x[:, 0] > 0).astype("int32"), "far": np.abs(x).sum(1)}
    dataset = mtlkeras.data.load(
        (x, y), {"side": "side", "far": "far"}, batch_size=batch_size, shuffle=split == "train", seed=SEED
    )
    return mtlkeras.data.augment(dataset, move, SEED) if split == "train" else dataset


def move(x, y, seed):
    return x + tf.random.stateless_normal(tf.shape(x), [seed, 0], stddev=0.1), y


def build(hp):
    trunk = mtlkeras.trunks.MLP(depth=1, width=8, dropout=0.5, normalization="batch")
    heads = {"side": mtlkeras.heads.Classification(2), "far": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((4,), trunk, heads)
    model.compile(keras.optimizers.Adam(0.01))
    return model


def callbacks():
    return [keras.callbacks.ReduceLROnPlateau("val_loss", patience=1)]
'''

# Goes on with a run in a process of its own again and again, which ends as by `kill -9` when a file of
# the run is renamed for the n-th time. The processes are forked before TensorFlow has begun to work, as
# to import it takes longer than to train. Prints how each ended, and the status of the run then.
KILLED = """
import json, os, signal, sys
import mtlkeras._app.cli

def watch(event, args):
    global left
    if event == "os.rename" and "run" in str(args[1]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

run = sys.argv[1]
for left in map(int, sys.argv[2].split(",")):
    process = os.fork()
    if not process:
        sys.addaudithook(watch)
        os._exit(mtlkeras._app.cli.main(sys.argv[3:]))
    _, code = os.waitpid(process, 0)
    with open(os.path.join(run, "config.json")) as file:
        print(os.waitstatus_to_exitcode(code), json.load(file)["status"], flush=True)
"""
RENAMES_AN_EPOCH = 5


@pytest.fixture(scope="module", autouse=True)
def graphs_as_in_other_processes():
    """Rewritten ones have other roundings than those of the tests."""
    import tensorflow as tf

    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options(dict.fromkeys(before))
    yield
    tf.config.optimizer.set_experimental_options(before)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("resumed") / "points.py"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def whole(recipe):
    """The run that nothing befell."""
    run = recipe.parent / "whole"
    assert main(["train", str(recipe), "--run-dir", str(run), "--quiet"]) == 0
    return run


def _weights(run):
    with np.load(run / "state.npz") as state:
        return {name: state[name] for name in state.files if name.startswith("variable")}


def assert_same(run, whole):
    mine, theirs = _weights(run), _weights(whole)
    assert mine.keys() == theirs.keys() and len(mine) > 10
    for name, value in theirs.items():
        np.testing.assert_array_equal(mine[name], value)
    for name in ("history.json", "metrics.json"):
        assert json.loads((run / name).read_text()) == json.loads((whole / name).read_text())
    config = json.loads((run / "config.json").read_text())
    assert config["status"] == "finished"
    assert config["best_epoch"] == json.loads((whole / "config.json").read_text())["best_epoch"]
    assert (run / "saved_model" / "saved_model.pb").is_file()
    left = [file.name for file in run.iterdir() if file.name.startswith(".")]
    assert all("saved_model" in name for name in left), left


def test_killed_run_ends_like_a_whole_one(recipe, whole, tmp_path):
    run = tmp_path / "run"
    # In the first epoch, between two files of the fourth one.
    renames = f"1,{3 * RENAMES_AN_EPOCH + 2}"
    words = ["train", str(recipe), "--run-dir", str(run), "--resume", "--quiet"]
    command = [sys.executable, "-c", KILLED, str(run), renames, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"{-signal.SIGKILL} running"] * 2, done.stderr
    assert main(["train", str(recipe), "--run-dir", str(run), "--resume", "--quiet"]) == 0
    assert_same(run, whole)


def test_killed_after_the_last_epoch(recipe, whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "status": "running"}))
    for name in ("metrics.json", "report.html"):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "saved_model")
    assert main(["train", str(recipe), "--run-dir", str(run), "--resume", "--quiet"]) == 0
    assert_same(run, whole)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(recipe, whole, tmp_path):
    draw = random.Random(0)
    command = [sys.executable, "-m", "mtlkeras", "train", str(recipe), "--resume", "--run-dir"]
    start = time.monotonic()
    subprocess.run([*command, str(tmp_path / "timed")], check=True, capture_output=True)
    takes = time.monotonic() - start
    for number in range(20):
        run = tmp_path / f"run_{number}"
        process = subprocess.Popen([*command, str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.3, 1) * takes)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert main(["train", str(recipe), "--run-dir", str(run), "--resume", "--quiet"]) == 0
        assert_same(run, whole)


def test_finished_run_is_left_as_it_is(recipe, whole, capsys):
    before = {file: file.stat().st_mtime_ns for file in whole.iterdir()}
    assert main(["train", str(recipe), "--run-dir", str(whole), "--resume"]) == 0
    assert "points, epoch" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in whole.iterdir()} == before


@pytest.fixture(scope="module")
def begun(recipe, tmp_path_factory):
    """A run of one epoch in a folder that was half made before."""
    run = tmp_path_factory.mktemp("begun") / "run"
    run.mkdir()
    (run / "recipe.py").write_text("cut o")
    assert main(["train", str(recipe), "--run-dir", str(run), "--epochs", "1", "--quiet", "--no-export"]) == 0
    return run


@pytest.fixture
def broken_off(begun, tmp_path):
    """The same as if it had broken off."""
    run = tmp_path / "runs" / "points-1"
    shutil.copytree(begun, run)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "status": "running"}))
    return run


def test_half_made_folder_is_taken(begun):
    assert (begun / "recipe.py").read_text() == RECIPE
    assert json.loads((begun / "config.json").read_text())["status"] == "finished"


def test_without_a_run_there_is_nothing_to_resume(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(recipe), "--resume"]) == 2
    assert "There is no run of points in runs/" in capsys.readouterr().err


def test_what_a_resumed_run_refuses(recipe, broken_off, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["train", str(recipe)]
    assert main([*words, "--resume", "--epochs", "2"]) == 2
    assert "began with epochs=1 and cannot go on with 2" in capsys.readouterr().err
    assert main([*words, "--resume", "--overwrite", "--run-dir", "runs/points-1"]) == 2
    assert "--overwrite and --resume do not go together" in capsys.readouterr().err
    other = tmp_path / "other.py"
    other.write_text(RECIPE)
    assert main(["train", str(other), "--resume", "--run-dir", "runs/points-1"]) == 2
    assert "is a run of recipe 'points', not of 'other'" in capsys.readouterr().err
    (tmp_path / "runs/points-1/state.npz").write_bytes(b"cut off")
    assert main(["train", "runs/points-1", "--resume"]) == 2
    assert "state.npz is damaged" in capsys.readouterr().err


def test_two_processes_do_not_train_into_one_folder(recipe, broken_off, capsys):
    fcntl = pytest.importorskip("fcntl")
    run = broken_off
    with (run / "recipe.py").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert main(["train", str(recipe), "--run-dir", str(run), "--resume"]) == 2
        assert "Another process is training into" in capsys.readouterr().err
        assert os.path.exists(run / "config.json")
