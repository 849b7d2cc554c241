"""`mtlkeras train`: what a run leaves, and what happens when it cannot."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest

from mtlkeras._app.cli import main
from mtlkeras._app.recipe import Recipe
from mtlkeras._app.runs.folder import create_run
from mtlkeras._app.runs.options import TrainOptions
from mtlkeras._app.runs.train import prepare

from .conftest import said_by

pytestmark = pytest.mark.tensorflow


def _config(run):
    return json.loads((run / "config.json").read_text())


def _edited(tiny, folder, *changes, name="edited"):
    text = tiny.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.py"
    path.write_text(text)
    return str(path)


def test_run_says_what_was_run(trained, tiny):
    config = _config(trained)
    assert config["status"] == "finished"
    assert config["recipe"] == "tiny"
    assert config["settings"] == {"steps_per_epoch": 4, "trunk/units": 4, "rate": 0.01}
    assert (config["seed"], config["epochs"], config["batch_size"]) == (3, 2, 16)
    assert config["versions"]["keras"] == keras.__version__
    assert (trained / "recipe.py").read_text() == tiny.read_text()


def test_run_has_history_of_every_epoch(trained):
    history = json.loads((trained / "history.json").read_text())
    expected = {"loss", "side_loss", "side_accuracy", "far_loss", "far_mae"}
    assert set(history) == expected | {f"val_{name}" for name in expected}
    with (trained / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_far_mae"]) for row in rows] == pytest.approx(history["val_far_mae"])


def test_kept_model_is_that_of_the_best_epoch(trained, tiny):
    config, history = _config(trained), json.loads((trained / "history.json").read_text())
    assert config["best_epoch"] == 1 + int(np.argmax(history["val_side_accuracy"]))
    metrics = json.loads((trained / "metrics.json").read_text())
    best = {name: history[f"val_{name}"][config["best_epoch"] - 1] for name in metrics["valid"]}
    assert metrics["valid"] == pytest.approx(best, rel=1e-4)
    model = keras.saving.load_model(trained / "model.keras")
    test = model.evaluate(Recipe(tiny).data("test", 16), verbose=0, return_dict=True)
    assert metrics["test"] == pytest.approx(test, rel=1e-4)


def test_regression_head_was_adapted_to_the_training_labels(trained, tiny):
    labels = np.concatenate([y["far"] for _, y in Recipe(tiny).data("train", 16)])
    model = keras.saving.load_model(trained / "model.keras")
    answers = model.predict(np.zeros((1, 4)), verbose=0)["far"]
    assert abs(float(answers[0, 0]) - labels.mean()) < 4 * labels.std()


def test_run_has_pictures_and_page(trained):
    for name in ("curves.png", "model.png"):
        assert (trained / name).read_bytes().startswith(b"\x89PNG")
    page = (trained / "report.md").read_text()
    assert "| side      | test  |" in page
    assert "better than chance" in page
    assert "![Model](model.png)" in page


def test_run_has_a_saved_model_that_answers_in_label_units(trained):
    import tensorflow as tf

    served = tf.saved_model.load(str(trained / "saved_model"))
    x = np.zeros((2, 4), "float32")
    model = keras.saving.load_model(trained / "model.keras")
    assert set(served.serve(x)["side"].numpy()) <= {b"left", b"right"}
    np.testing.assert_allclose(served.serve_raw(x)["far"], model.predict(x, verbose=0)["far"], rtol=1e-4)


def test_table_has_a_row_for_each_task_and_split(trained):
    lines = (trained.parent.parent / "said.txt").read_text().splitlines()
    assert [line.split()[:2] for line in lines if line.strip().startswith(("side", "far"))] == [
        ["side", "valid"],
        ["far", "valid"],
    ]
    assert any("expected: better than chance" in line for line in lines)


@pytest.fixture(scope="module")
def again(tiny, tmp_path_factory):
    """A folder with the second run, as `trained` but quiet and without export; and what it said."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "runs/tiny-1").mkdir(parents=True)
    words = ("--set", "trunk/units=4", "--seed", "3", "--no-export", "--quiet")
    return folder, said_by(folder, "train", str(tiny), *words)


def test_runs_are_numbered_and_quiet_prints_the_folder_only(again):
    folder, said = again
    assert said == "runs/tiny-2\n"
    assert not (folder / "runs/tiny-2/saved_model").exists()


def test_same_seed_gives_the_same_run(trained, again):
    assert (again[0] / "runs/tiny-2/metrics.json").read_text() == (trained / "metrics.json").read_text()


def test_another_seed_gives_other_weights(tiny):
    a, b, c = (
        prepare(Recipe(tiny), TrainOptions(seed=seed)).model.trunk.get_weights()[0] for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(a, b)
    assert (a != c).all()


def test_run_dir_is_kept_unless_overwritten(tiny, in_tmp, capsys):
    run = create_run(Recipe(tiny), "run")
    (in_tmp / "run/mine.txt").write_text("")
    assert main(["train", str(tiny), "--run-dir", "run"]) == 2
    assert (
        "run holds a run. Choose another --run-dir, go on with it by --resume, or replace it by --overwrite."
        in capsys.readouterr().err
    )
    assert (in_tmp / "run/mine.txt").exists()
    assert create_run(Recipe(tiny), "run", overwrite=True).path == run.path
    assert not (in_tmp / "run/mine.txt").exists()


def test_folder_that_is_no_run_is_never_replaced(tiny, in_tmp, capsys):
    (in_tmp / "thesis").mkdir()
    (in_tmp / "thesis/config.json").write_text("{}")
    assert main(["train", str(tiny), "--run-dir", "thesis", "--overwrite"]) == 2
    assert "thesis exists and is not the folder of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["digit"],
            "Unknown recipe 'digit' in the recipes; another one is given by the path of its .py file. "
            "Did you mean 'digits'?",
        ),
        (["nowhere/x.py"], "No recipe file nowhere/x.py."),
        (["TINY", "--set", "rat=0.1"], "Unknown setting 'rat' in --set. Did you mean 'rate'?"),
        (
            ["TINY", "--set", "rate=fast"],
            "Setting 'rate' must be a number from 0.0001 to 1; received 'fast'.",
        ),
        (["TINY", "--set", "trunk/units=5"], "Setting 'trunk/units' must be one of 4, 8; received '5'."),
        (["TINY", "--set", "steps_per_epoch=5"], "Setting 'steps_per_epoch' is fixed"),
        (["TINY", "--data-dir", "nowhere"], "--data-dir nowhere is not a folder."),
        (["TINY", "--overwrite"], "--overwrite needs --run-dir"),
        (["TINY", "--dtype-policy", "float17"], "float17"),
    ],
)
def test_mistakes_are_told_in_a_line(words, message, tiny, in_tmp, capsys):
    assert main(["train", *[str(tiny) if word == "TINY" else word for word in words]]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mtlkeras: error: ")
    assert message in error
    assert "Traceback" not in error
    assert not (in_tmp / "runs").exists()


def test_debug_shows_the_traceback(in_tmp):
    with pytest.raises(ValueError, match="Unknown recipe"):
        main(["train", "digit", "--debug"])


@pytest.mark.parametrize("words", [["--epochs", "0"], ["--set", "rate"], ["--epochs", "few"]])
def test_words_that_cannot_be_read_are_refused_at_once(words, tiny, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["train", str(tiny), *words])
    assert exit_.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_missing_data_tell_where_they_were_looked_for(tiny, in_tmp, capsys, monkeypatch):
    recipe = _edited(
        tiny,
        in_tmp,
        ("    rng = ", '    raise FileNotFoundError("No file points.csv.")\n    rng = '),
        ("ADAPT", 'DATA = "Download points.csv from the attic."\nADAPT'),
    )
    monkeypatch.setenv("MTLKERAS_DATA", "/data")
    assert main(["train", recipe]) == 2
    assert (
        "The data of recipe 'edited' are not there: No file points.csv. "
        "Looked in --data-dir (not given) and MTLKERAS_DATA /data. Download points.csv from the attic."
    ) in capsys.readouterr().err


def test_nan_in_inputs_stops_when_asked(tiny, in_tmp, capsys):
    recipe = _edited(
        tiny, in_tmp, ("    y = {", "    x[7, 0] = np.nan\n    y = {"), ("ADAPT = True", "ADAPT = False")
    )
    assert main(["train", recipe, "--check-inputs", "--run-dir", "run"]) == 2
    assert capsys.readouterr().err == (
        "mtlkeras: error: The input has NaN or infinity\n"
        "The partial run is in run, with no epoch. To go on: mtlkeras train run --resume\n"
    )
    assert _config(in_tmp / "run")["status"] == "failed"


def test_interrupted_run_is_recognised_and_can_be_used(tiny, in_tmp, capsys):
    stop = (
        "\n\nclass Stop(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        raise KeyboardInterrupt\n"
        "\n\ndef callbacks():\n    return [Stop()]\n"
    )
    recipe = _edited(tiny, in_tmp, ("def build(hp):", f"{stop}\n\ndef build(hp):"))
    assert main(["train", recipe, "--run-dir", "run"]) == 130
    assert "mtlkeras: interrupted\nThe partial run is in run, with no epoch." in capsys.readouterr().err
    config = _config(in_tmp / "run")
    assert (config["status"], config["epochs_done"], config["best_epoch"]) == ("interrupted", 1, 1)
    assert not list((in_tmp / "run").glob(".*"))
    assert main(["evaluate", "run"]) == 0
    assert "note: run is interrupted" in capsys.readouterr().err


def test_jit_and_dtype_policy_reach_the_model(tiny):
    job = prepare(Recipe(tiny), TrainOptions(jit=True, dtype_policy="mixed_bfloat16"))
    assert job.model.jit_compile is True
    assert job.model.trunk.layers[1].compute_dtype == "bfloat16"
    assert job.model.get_layer("side").compute_dtype == "float32"


def test_recipe_builds_with_the_folder_of_the_data_that_was_given(tiny, tmp_path):
    path = _edited(tiny, tmp_path, ("def build(hp):", "def build(hp):\n    hp.Fixed('data_dir', '')"))
    asked = [prepare(Recipe(path), TrainOptions(data_dir=folder)).hp for folder in (str(tmp_path), None)]
    assert [hp.get("data_dir") for hp in asked] == [str(tmp_path), ""]


def test_labels_of_tasks_that_the_model_lacks_are_left_aside(tiny, in_tmp):
    build = 'build_model((4,), trunk, {"far": heads["far"]})'
    path = _edited(
        tiny, in_tmp, ("build_model((4,), trunk, heads)", build), ('"val_side_accuracy"', '"val_far_mae"')
    )
    assert main(["train", path, "--run-dir", "alone", "--quiet", "--epochs", "1", "--no-export"]) == 0
    assert "side_loss" not in json.loads((in_tmp / "alone" / "metrics.json").read_text())["test"]
    assert main(["evaluate", "alone"]) == 0
    misspelt = _edited(tiny, in_tmp, ('"far": 100', '"fare": 100'))
    assert main(["train", misspelt, "--run-dir", "wrong", "--quiet"]) == 2


@pytest.mark.slow
def test_gradients_are_watched_if_asked(tiny, in_tmp):
    assert main(["train", str(tiny), "--epochs", "2", "--watch-gradients", "--quiet"]) == 0
    history = json.loads((in_tmp / "runs/tiny-1/history.json").read_text())
    shares = np.array([history["side_gradient_share"], history["far_gradient_share"]])
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, rtol=1e-6)
    assert len(history["side_far_cosine"]) == 2 and np.abs(history["side_far_cosine"]).max() <= 1 + 1e-6


def test_gradients_that_nothing_shares_are_refused_before_a_folder_is_made(tiny, in_tmp, capsys):
    assert main(["train", str(tiny), "--tasks", "side", "--watch-gradients"]) == 2
    assert "share no trainable layer" in capsys.readouterr().err
    assert not (in_tmp / "runs").exists()
