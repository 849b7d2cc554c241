"""What makes a file a recipe."""

from __future__ import annotations

import re

import pytest

from mtlkeras import build_model
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe, describe_recipe, find_recipe, recipes
from mtlkeras.heads import Regression
from mtlkeras.trunks import MLP

GOOD = '''"""About it.

More."""

EPOCHS, BATCH_SIZE, SEED = 1, 2, 0
MONITOR = "val_loss"
RESULT = "something"


def data(split, batch_size, data_dir=None):
    return split, batch_size, data_dir


def build(hp):
    return None
'''


def _write(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_recipe_is_read(tmp_path):
    path = _write(tmp_path, GOOD)
    recipe = Recipe(find_recipe(str(path)))
    assert (recipe.name, recipe.about, recipe.constant("BATCH_SIZE"), recipe.adapt) == (
        "mine",
        "About it.",
        2,
        False,
    )
    assert recipe.data("train", 3, "here") == ("train", 3, "here")
    assert describe_recipe(path) == "About it."
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]


def test_data_may_read_the_settings_that_the_model_is_built_with(tmp_path):
    text = GOOD.replace(
        "data_dir=None):\n    return split", "data_dir, hp):\n    return hp.Boolean('big'), split"
    )
    assert text != GOOD
    recipe = Recipe(_write(tmp_path, text))
    assert recipe.data("train", 3, hp=HyperParameters({"big": "true"})) == (True, "train", 3, None)
    assert recipe.data("train", 3) == (False, "train", 3, None)
    assert recipe.data_reads_settings


def test_monitor_is_the_first_metric_that_the_model_has(tmp_path):
    recipe = Recipe(_write(tmp_path, GOOD.replace('"val_loss"', '("val_b_loss", "val_loss")')))
    model = build_model((4,), MLP(), {"a": Regression()})
    model.compile("adam")
    assert (recipe.monitors, recipe.monitor(model)) == (("val_b_loss", "val_loss"), "val_loss")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("EPOCHS,", "EPOCH,", "does not define EPOCHS. Did you mean 'EPOCH'?"),
        ("def build", "def bild", "does not define build. Did you mean 'bild'?"),
        ("= 1, 2, 0", "= 0, 2, 0", "EPOCHS of recipe 'mine' must be at least 1; received 0."),
        ("= 1, 2, 0", "= 1, 2.5, 0", "BATCH_SIZE of recipe 'mine' must be of type int; received 2.5."),
        ('"val_loss"', "()", "MONITOR of recipe 'mine' must be of type str or tuple; received ()."),
        ("def build(hp)", "def build()", "must define a function build(hp)"),
        ("def data(split, ", "def data(", "must define a function data(split, batch_size, data_dir)"),
        ("def build(hp):", "def callbacks(x):\n    pass\n\n\ndef build(hp):", "a function callbacks()"),
        ("def build(hp):", "def build(hp:", "mine.py is not valid Python"),
        ("return None", "return 7", "must return a MultiTaskModel; received 7."),
    ],
)
def test_what_is_missing_is_told(old, new, message, tmp_path):
    assert old in GOOD
    path = _write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ValueError, match=re.escape(message)):
        Recipe(path).build(None)


MODEL = """
    import mtlkeras
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    COMPILE
    return model
"""


def test_model_must_be_compiled(tmp_path):
    path = _write(tmp_path, GOOD.replace("    return None\n", MODEL.replace("COMPILE", "")))
    with pytest.raises(ValueError, match="must compile the model"):
        Recipe(path).build(None)


def test_monitored_metric_must_exist(tmp_path):
    text = GOOD.replace("    return None\n", MODEL.replace("COMPILE", "model.compile()"))
    Recipe(_write(tmp_path, text)).build(None)
    path = _write(tmp_path, text.replace("val_loss", "val_y_rmsee"))
    with pytest.raises(ValueError, match="Unknown metric 'val_y_rmsee' in MONITOR of recipe 'mine'"):
        Recipe(path).build(None)


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_says_what_it_is_about_in_a_line(name):
    text = describe_recipe(recipes()[name])
    assert 20 < len(text) < 110
    assert len(recipes()[name].read_text().splitlines()) < 150
