"""The recipes on texts: their data as they were counted, and a step of training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe, find_recipe
from mtlkeras.data import describe

pytestmark = [pytest.mark.tensorflow, pytest.mark.data]

FOLDERS = {
    **{name: name for name in ("snips", "hwu64", "goemotions")},
    "snips_bert": "snips",
    "fb_multilingual": "fb-multilingual",
    "ud_ewt": "ud-english-ewt",
    "crosswoz": "crosswoz-nlu",
}
SENTENCES = {
    "snips": (13_084, 700, 700),
    "fb_multilingual": (30_521, 4_181, 8_621),
    "hwu64": (8 * 1_076, 1_076, 1_352),
    "ud_ewt": (12_544, 2_001, 2_077),
    "goemotions": (43_410, 5_426, 5_427),
    "crosswoz": (7_032, 1_426, 8_476),
}


def slow_but(*quick, of):
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in of]


@pytest.fixture
def recipe(request, data_dir, monkeypatch):
    """The recipe named by the test, with its data."""
    if not (data_dir / FOLDERS[request.param]).is_dir():
        pytest.skip(f"needs the data of recipe {request.param} in {data_dir}")
    monkeypatch.setenv("MTLKERAS_DATA", str(data_dir))
    return Recipe(find_recipe(request.param))


@pytest.fixture(scope="module")
def report():
    """What the data of a split are, read once: `report(recipe, split)`."""
    found: dict = {}

    def of(recipe, split):
        if (recipe.name, split) not in found:
            found[recipe.name, split] = describe(recipe.data(split, 512))
        return found[recipe.name, split]

    return of


# One recipe a form of data and of trunk.
@pytest.mark.parametrize("recipe", slow_but("snips_bert", "goemotions", of=FOLDERS), indirect=True)
def test_a_step_of_training(recipe):
    x, y = next(iter(recipe.data("valid", 8)))
    hp = HyperParameters({"learning_rate": "1e-3"}, fixed={"epochs": 9, "steps_per_epoch": 9})
    model = recipe.build(hp)
    hp.check()
    model.run_eagerly = True
    losses = model.train_on_batch(x, y, return_dict=True)
    assert all(np.isfinite(value) for value in losses.values())
    assert all(losses[f"{task}_loss"] > 0 for task in y)
    assert {task: len(output) for task, output in model(x).items()} == dict.fromkeys(y, 8)


@pytest.mark.slow
@pytest.mark.parametrize("trunk", ["cnn_attention", "dpcnn", "bilstm"])
@pytest.mark.parametrize("recipe", ["goemotions"], indirect=True)
def test_trunk_of_goemotions_is_a_flag(recipe, trunk):
    model = recipe.build(HyperParameters({"trunk": trunk}))
    assert type(model.trunk.get_layer("features").trunk).__name__.lower() == trunk.replace("_", "")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["ud_ewt"], indirect=True)
def test_tasks_of_ud_ewt_are_a_flag(recipe):
    model = recipe.build(HyperParameters({"tasks": "feats,upos"}))
    assert list(model.heads) == ["feats", "upos"]
    (_, y), *_ = recipe.data("valid", 8, model=model)
    assert list(y) == ["feats", "upos"]
    with pytest.raises(ValueError, match="tasks must be some of upos,xpos,feats,genre; received ups"):
        recipe.build(HyperParameters({"tasks": "ups"}))


@pytest.mark.parametrize("recipe", slow_but("snips", of=SENTENCES), indirect=True)
def test_splits_have_the_published_sizes(recipe, report):
    found = tuple(report(recipe, split).examples for split in ("train", "valid", "test"))
    assert found == SENTENCES[recipe.name]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["ud_ewt"], indirect=True)
def test_words_and_tags_are_those_of_the_treebank(recipe, report):
    tasks = report(recipe, "test").tasks
    assert sum(tasks["upos"].counts.values()) == 25_094
    assert [len(tasks[task].classes) for task in ("upos", "xpos", "genre")] == [17, 49, 5]
    assert report(recipe, "train").tasks["upos"].counts["NOUN"] == 34_751


@pytest.mark.parametrize("recipe", ["snips"], indirect=True)
def test_every_tag_of_a_type_is_there(recipe):
    _, intents, tags = recipe.module.vocabularies()
    assert len(intents) == 7 and len(tags) == 1 + 2 * 39 and tags[0] == "O"
    with keras.device("cpu"):
        assert recipe.build(HyperParameters()).heads["slots"].tags == tags


def test_mix_of_requests_labels_each_sentence_for_its_own_tasks(data_dir, monkeypatch):
    if not all((data_dir / folder).is_dir() for folder in ("snips", "fb-multilingual", "hwu64")):
        pytest.skip(f"needs snips, fb-multilingual and hwu64 in {data_dir}")
    monkeypatch.setenv("MTLKERAS_DATA", str(data_dir))
    recipe = Recipe(find_recipe("nlu_mix"))
    tasks = describe(recipe.data("valid", 512)).tasks
    counts = {"snips": 700, "alarms": 4_181, "home": 1_076}
    assert {name: tasks[f"{name}_intent"].labelled for name in counts} == counts
    by_turns = recipe.data("valid", 512, hp=HyperParameters({"schedule": "alternating"}))
    assert describe(by_turns).examples == sum(counts.values())
    hp = HyperParameters({"sources": "home", "home_folds": "2"})
    few = recipe.data("train", 32, hp=hp)
    assert list(describe(few).tasks) == ["home_intent", "home_slots"] and describe(few).examples == 1_076
    model = recipe.build(hp)
    hp.check()
    assert list(model.heads) == ["home_intent", "home_slots"]
    assert recipe.monitor(model) == "val_exact_match"
