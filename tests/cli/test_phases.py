"""`mtlkeras train` with a recipe's PHASES: a run that breaks off ends as one that did not."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.cli import main
from mtlkeras._app.runs.keep import KeepRun
from tests.cli.conftest import TINY

pytestmark = pytest.mark.tensorflow

PHASES = """

from mtlkeras.training import Phase  # noqa: E402

EPOCHS = 3
PHASES = [Phase("all"), Phase("heads", epochs=2, name="fine", data="valid")]
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("phases") / "tiny.py"
    path.write_text(TINY + PHASES)
    return path


def test_a_recipe_trains_in_its_phases_and_goes_on_where_it_broke_off(recipe, tmp_path, monkeypatch):
    runs = {name: tmp_path / name for name in ("whole", "parts")}
    words = {
        name: ["train", str(recipe), "--run-dir", str(run), "--quiet", "--no-export"]
        for name, run in runs.items()
    }
    assert main(words["whole"]) == 0
    kept = KeepRun.on_epoch_end

    def broken(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt
        kept(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(KeepRun, "on_epoch_end", broken)
        assert main(words["parts"]) != 0
    assert main(["train", str(runs["parts"]), "--resume", "--quiet"]) == 0
    read = {name: json.loads((run / "history.json").read_text()) for name, run in runs.items()}
    assert read["whole"] == read["parts"] and len(read["whole"]["loss"]) == 3
    config = json.loads((runs["parts"] / "config.json").read_text())
    assert config["phases"] == ["all", "fine", "fine"]
    models = [mtlkeras.load_model(run / "model.keras") for run in runs.values()]
    for mine, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert models[0].trunk.trainable_variables  # As the recipe built it, and not as the last phase.
    assert "phases: `all` 1, `fine` 2" in (runs["whole"] / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        (["--epochs", "2"], PHASES, "PHASES with epochs of their own: leave out --epochs"),
        ([], PHASES.replace("EPOCHS = 3", "EPOCHS = 5"), "have 3 epochs in all, and EPOCHS is 5"),
        ([], PHASES.replace('"heads"', '"head"'), "Phase 'fine': 'head' is no part of the model."),
        ([], "\nPHASES = [1]\n", "must be a list of mtlkeras.training.Phase; received"),
    ],
)
def test_phases_that_do_not_fit(in_tmp, capsys, words, text, message):
    (in_tmp / "tiny.py").write_text(TINY + text)
    assert main(["train", "tiny.py", *words]) != 0
    assert message in capsys.readouterr().err
    assert not (in_tmp / "runs").exists()


def test_a_search_does_not_train_in_phases(recipe, capsys):
    assert main(["tune", str(recipe)]) != 0
    assert "has PHASES, which a search does not train in" in capsys.readouterr().err


def test_gradients_are_not_watched_in_phases(recipe, in_tmp, capsys):
    assert main(["train", str(recipe), "--watch-gradients"]) == 2
    assert "recipe 'tiny' trains in phases" in capsys.readouterr().err
    assert not (in_tmp / "runs").exists()
