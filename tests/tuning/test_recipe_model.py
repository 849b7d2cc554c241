"""A recipe as a hypermodel: what is searched, what is held, and what a trial trains."""

from __future__ import annotations

import re

import keras_tuner
import pytest

from mtlkeras._app.recipe import Recipe
from mtlkeras._app.runs.search_model import RecipeHyperModel, RunHyperParameters, TrialOptions, explore

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner"),
]

RECIPE = '''"""Numbers and their sign."""

import numpy as np
import tensorflow as tf

import mtlkeras

EPOCHS, BATCH_SIZE, SEED = 3, 8, 1
MONITOR = "val_sign_accuracy"
RESULT = "something"


def data(split, batch_size, data_dir=None):
    x = np.linspace(-1, 1, 32 if split == "train" else 8, dtype="float32")[:, None]
    return tf.data.Dataset.from_tensor_slices((x, {"sign": (x[:, 0] > 0).astype("int32")})).batch(batch_size)


def build(hp):
    steps = hp.Fixed("epochs", 99) * hp.Fixed("steps_per_epoch", 99)
    trunk = mtlkeras.trunks.MLP(depth=1, width=hp.Choice("width", [4, 8]))
    model = mtlkeras.build_model((1,), trunk, {"sign": mtlkeras.heads.Classification(2)})
    model.compile("sgd")
    model.steps = steps
    return model
'''


@pytest.fixture
def recipe(tmp_path):
    def write(old="", new=""):
        assert old in RECIPE
        path = tmp_path / "signs.py"
        path.write_text(RECIPE.replace(old, new) if old else RECIPE)
        return Recipe(path)

    return write


def options(**changes):
    common = {"epochs": 3, "batch_size": 8, "seed": 1, "objective": "val_sign_accuracy", "direction": "max"}
    return TrialOptions(**{**common, **changes})


def names(space):
    return [hp.name for hp in space.space]


def test_epochs_and_steps_are_those_of_the_trial_and_not_searched(recipe):
    space, model = explore(RecipeHyperModel(recipe(), options(epochs=5)), {})
    assert model.steps == 5 * 4
    assert names(space) == ["width"]
    assert space.values == {"width": 4}


def test_an_epoch_may_be_held_to_a_few_steps(recipe):
    hypermodel = RecipeHyperModel(recipe(), options(steps_per_epoch=3))
    space, model = explore(hypermodel, {})
    assert model.steps == 3 * 3
    model = hypermodel.build(space)
    hypermodel.fit(space, model)
    assert int(model.optimizer.iterations) == 3 * 3


ASKS = """    epochs, size = hp.Int("epochs", 2, 4), hp.Choice("batch_size", [8, 16])
    steps = hp.Fixed("steps_per_epoch", 99)
    assert steps == 32 // size"""


def test_recipe_may_ask_for_batch_size_and_epochs(recipe):
    asking = recipe('    steps = hp.Fixed("epochs", 99) * hp.Fixed("steps_per_epoch", 99)', ASKS)
    hypermodel = RecipeHyperModel(asking, options(batch_size=4))
    space, _ = explore(hypermodel, {})
    assert names(space) == ["epochs", "batch_size", "width"]
    hp = space.copy()
    hp.values |= {"epochs": 2, "batch_size": 16}
    logs = hypermodel.fit(hp, hypermodel.build(hp))
    assert logs["epochs"] == 2


def test_settings_are_held_and_read_as_the_command_line_gives_them(recipe):
    hypermodel = RecipeHyperModel(recipe("def build(hp):", "def build(hp):\n    hp.Boolean('b')"), options())
    space, _ = explore(hypermodel, {})
    assert names(space) == ["b", "width"]
    held = RecipeHyperModel(recipe(), options(settings={"width": "8"}))
    with pytest.raises(ValueError, match="There is nothing to search"):
        explore(held, {"width": "8"})
    wrong = RecipeHyperModel(recipe(), options(settings={"width": "5"}))
    with pytest.raises(ValueError, match="Setting 'width' must be one of 4, 8; received '5'"):
        explore(wrong, {"width": "5"})
    with pytest.raises(ValueError, match="Unknown setting 'widht' in --set. Did you mean 'width'"):
        explore(RecipeHyperModel(recipe(), options(settings={"widht": "8"})), {"widht": "8"})
    fixed = RecipeHyperModel(recipe(), options(settings={"epochs": "8"}))
    with pytest.raises(ValueError, match="Setting 'epochs' is fixed"):
        explore(fixed, {"epochs": "8"})


def test_what_a_recipe_fixes_can_be_set_by_hand_and_the_folder_of_the_data_is_the_search_s():
    hp = keras_tuner.HyperParameters()
    run = RunHyperParameters(hp, {"pretrained": "a.keras"}, {"data_dir": lambda: "there"})
    assert run.Fixed("pretrained", "") == "a.keras" and run.Fixed("data_dir", "") == "there"
    assert run.Fixed("other", 3) == 3
    assert hp.values == {"pretrained": "a.keras", "other": 3}


def test_a_held_value_keeps_its_condition_and_scope():
    hp = keras_tuner.HyperParameters()
    run = RunHyperParameters(hp, {"trunk/a/depth": "4"}, {})
    run.Choice("trunk", ["a", "b"])
    with run.conditional_scope("trunk", ["a"]), run.name_scope("trunk"), run.name_scope("a"):
        assert run.Int("depth", 1, 9) == 4
    (entry,) = (entry for entry in hp.space if entry.name == "trunk/a/depth")
    assert type(entry).__name__ == "Fixed"
    assert [condition.name for condition in entry.conditions] == ["trunk"]


BRANCH = """
    if hp.Choice("kind", ["good", "bad"]) == "bad":
        with hp.conditional_scope("kind", ["bad"]):
            raise KeyError("no such thing")
    with hp.conditional_scope("kind", ["bad"]):
        pass
"""


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (
            "def build(hp):\n    raise KeyError('oh')",
            "recipe 'signs' does not build with its default values: KeyError: 'oh' Nothing was",
        ),
        (
            f"def build(hp):{BRANCH}",
            "does not build with other values (kind=bad, width=4): KeyError: 'no such thing'",
        ),
    ],
)
def test_a_space_that_does_not_build_is_told_with_its_values(new, message, recipe):
    with pytest.raises(ValueError, match=re.escape(message)):
        explore(RecipeHyperModel(recipe("def build(hp):", new), options()), {})


def test_missing_data_are_told_as_such(recipe):
    missing = recipe("    x = np", "    raise FileNotFoundError('no file x')\n    x = np")
    with pytest.raises(FileNotFoundError, match="The data of recipe 'signs' are not there: no file x"):
        explore(RecipeHyperModel(missing, options()), {})


def test_a_trial_gives_the_logs_of_its_best_epoch(recipe):
    hypermodel = RecipeHyperModel(recipe(), options())
    space, model = explore(hypermodel, {})
    logs = hypermodel.fit(space, model)
    assert logs["parameters"] == model.count_params()
    assert 1 <= logs["best_epoch"] <= logs["epochs"] == 3
    best = hypermodel._best({"val_sign_accuracy": [0.5, 0.9, float("nan"), 0.7], "loss": [4, 3, 2, 1]}, 2)
    assert best == {"val_sign_accuracy": 0.9, "loss": 3.0, "best_epoch": 4, "epochs": 6}
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="val_sign_accuracy is nan in every epoch"):
        hypermodel._best({"val_sign_accuracy": [float("nan")] * 2}, 0)


def test_the_same_trial_gives_the_same_whatever_ran_before(recipe):
    hypermodel = RecipeHyperModel(recipe(), options())
    space, _ = explore(hypermodel, {})
    first, other, again = (hypermodel.fit(space, hypermodel.build(space)) for _ in range(3))
    assert first["val_sign_loss"] == other["val_sign_loss"] == again["val_sign_loss"]


def test_a_training_that_goes_on_has_the_steps_before_it_behind_it(recipe):
    hypermodel = RecipeHyperModel(recipe(), options())
    space, model = explore(hypermodel, {})
    logs = hypermodel.fit(space, model, epochs=3, initial_epoch=2)
    assert int(model.optimizer.iterations) == 3 * 4
    assert logs["best_epoch"] == 3


def test_schedules_end_with_the_round_of_hyperband(recipe):
    hypermodel = RecipeHyperModel(recipe(), options(epochs=9))
    space, model = explore(hypermodel, {})
    assert model.steps == 9 * 4
    space.values["tuner/epochs"] = 3
    assert hypermodel.build(space).steps == 3 * 4
