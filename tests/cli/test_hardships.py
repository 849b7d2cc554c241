"""What befalls a run from outside: a full disk, data that are gone, too little memory, batches of NaN."""

from __future__ import annotations

import errno
import json
import shutil

import pytest

import mtlkeras.training.backup
from mtlkeras._app.cli import main

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
]


def train(*words) -> int:
    return main(["train", *map(str, words), "--no-export", "--quiet"])


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.slow
def test_full_disk_leaves_the_epoch_before_and_the_run_goes_on(tiny, in_tmp, capsys, monkeypatch):
    assert train(tiny, "--epochs", 4, "--run-dir", "whole") == 0
    aside, left = mtlkeras.training.backup.written_aside, [2]

    def fill_up(path):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return aside(path)

    with monkeypatch.context() as full:
        full.setattr(mtlkeras.training.backup, "written_aside", fill_up)
        assert train(tiny, "--epochs", 4, "--run-dir", "run") == 2
    message = capsys.readouterr().err
    assert "No space left on device" in message
    assert "with the state after epoch 3. To go on: mtlkeras train run --resume" in message
    assert json.loads((in_tmp / "run/config.json").read_text())["status"] == "failed"
    assert train("run", "--resume") == 0
    assert metrics(in_tmp / "run") == metrics(in_tmp / "whole")


FROM_FILE = """
def data(split, batch_size, data_dir=None):
    tasks = {"side": "side", "far": mtlkeras.data.Label("far", kind="number")}
    return mtlkeras.data.load("points.csv", tasks, "x", batch_size=batch_size, data_dir=data_dir)


def build(hp):
    heads = {"side": mtlkeras.heads.Classification(2), "far": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model(keras.Input((1,), name="x"), mtlkeras.trunks.MLP(depth=1), heads)
    model.compile("adam")
    return model


class Gone(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            import os

            os.rename("points.csv", "points.away")
            raise OSError("points.csv was removed")


def callbacks():
    import os

    return [Gone()] if not os.path.exists("stay") else []
"""


def test_data_that_are_gone_are_named_and_the_run_goes_on_when_they_are_back(tiny, in_tmp, capsys):
    recipe = in_tmp / "points.py"
    recipe.write_text(tiny.read_text() + FROM_FILE)
    rows = [f"{n / 10},{n % 2},{n}" for n in range(40)]
    (in_tmp / "points.csv").write_text("\n".join(["x,side,far", *rows]) + "\n")
    assert train(recipe, "--run-dir", "run", "--epochs", 3, "--data-dir", in_tmp) == 2
    assert "points.csv was removed" in capsys.readouterr().err
    assert train("run", "--resume") == 2
    message = capsys.readouterr().err
    assert "The data of recipe 'points' are not there" in message and "points.csv" in message
    shutil.move("points.away", "points.csv")
    (in_tmp / "stay").touch()
    assert train("run", "--resume") == 0
    assert json.loads((in_tmp / "run/config.json").read_text())["status"] == "finished"


@pytest.mark.slow  # TensorFlow takes its time to find that out.
def test_a_trial_without_enough_memory_fails_alone(tiny, in_tmp, capsys):
    recipe = in_tmp / "large.py"
    recipe.write_text(tiny.read_text().replace("[4, 8], default=8", f"[8, {2**44}], default=8"))
    words = ["--tuner", "grid", "--set", "rate=0.01", "--epochs", "1", "--run-dir", "search"]
    assert main(["tune", str(recipe), *words]) == 0
    out = capsys.readouterr().out
    assert "1 trials not completed" in out or "1 trial not completed" in out
    trials = json.loads((in_tmp / "search/trials.json").read_text())
    (failed,) = [trial for trial in trials if trial["status"] != "COMPLETED"]
    assert "ResourceExhaustedError" in failed["failure"] or "OOM" in failed["failure"]
    assert metrics(in_tmp / "search")["test"]["side_accuracy"] > 0.5


def test_batches_of_nan_are_skipped_if_asked(tiny, in_tmp, capsys):
    recipe = in_tmp / "broken.py"
    broken = 'x[3] = np.nan if split == "train" else x[3]\n    return tf.data'
    recipe.write_text(tiny.read_text().replace("return tf.data", broken))
    assert train(recipe, "--run-dir", "stopped") == 2
    # TensorFlow's fused ReLU gives zero for NaN, so that the first loss is finite all the same.
    message = capsys.readouterr().err
    assert "is NaN or infinite after step 1 of epoch 1" in message or "are NaN or infinite after" in message
    assert train(recipe, "--run-dir", "skipped", "--on-nan", "skip") == 0
    history = json.loads((in_tmp / "skipped/history.json").read_text())
    assert history["skipped_steps"] == [1.0, 1.0]
