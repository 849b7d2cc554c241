"""The recipes on tables, molecules and photographs: their data, and a step of training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe, find_recipe
from mtlkeras.data import describe, to_arrays
from mtlkeras.dependence import TaskChain

pytestmark = [pytest.mark.tensorflow, pytest.mark.data]

TOX21 = {
    # Active and inactive molecules, as the data set's own table counts them.
    "NR-AR": (310, 7129),
    "NR-AhR": (785, 5906),
    "SR-ARE": (961, 4974),
    "SR-p53": (431, 6478),
}


@pytest.fixture
def recipe(request, data_dir, monkeypatch):
    """The recipe named by the test, with its data."""
    folder = {"nuclei": "nuclei-dsb2018"}.get(request.param, request.param.replace("_", "-"))
    if not (data_dir / folder).is_dir():
        pytest.skip(f"needs the data of recipe {request.param} in {data_dir}")
    monkeypatch.setenv("MTLKERAS_DATA", str(data_dir))
    return Recipe(find_recipe(request.param))


def use(name):
    return pytest.mark.parametrize("recipe", [name], indirect=True)


def counts(labels, classes):
    return np.bincount(labels[labels >= 0], minlength=classes).tolist()


@pytest.mark.parametrize(
    "recipe",
    [
        "adult",
        "coffee_leaf",
        *(pytest.param(r, marks=pytest.mark.slow) for r in ("tox21", "clothing", "yeast", "nuclei")),
    ],
    indirect=True,
)
def test_a_step_of_training_reaches_every_weight(recipe):
    x, y = next(iter(recipe.data("valid", 16)))
    hp = HyperParameters({"learning_rate": "1e-2"}, fixed={"epochs": 9, "steps_per_epoch": 9})
    model = recipe.build(hp)
    hp.check()
    # A step is sooner done than compiled.
    model.run_eagerly = True
    before = {v.path: v.numpy() for v in model.trainable_variables}
    loss = model.train_on_batch(x, y, return_dict=True)["loss"]
    assert np.isfinite(loss)
    same = [v.path for v in model.trainable_variables if (v.numpy() == before[v.path]).all()]
    assert not same
    assert {task: len(output) for task, output in model(x).items()} == dict.fromkeys(y, 16)


@pytest.mark.slow
@use("yeast")
def test_yeast_splits_and_the_tree_is_that_of_its_training_labels(recipe):
    found = {split: to_arrays(recipe.data(split, 500))[1] for split in ("train", "valid", "test")}
    assert [len(y["functions"]) for y in found.values()] == [1300, 200, 917]
    total = sum(y["functions"].sum(0) for y in found.values())
    assert total.tolist() == [762, 1038, 983, 862, 722, 597, 428, 480, 178, 253, 289, 1816, 1799, 34]
    columns = {"functions": found["train"]["functions"]}
    assert TaskChain.from_labels(columns) == recipe.constant("DEPENDENCES")["tree"]


@use("adult")
def test_adult_splits(recipe):
    sizes = {
        split: sum(len(y["income"]) for _, y in recipe.data(split, 4096)) for split in ("train", "valid")
    }
    assert sizes == {"train": 29_305, "valid": 3_256}
    x, y = to_arrays(recipe.data("test", 4096))
    assert counts(y["income"], 2) == [16_281 - 3_846, 3_846]
    assert counts(y["marital_status"], 7)[0] == 5_434
    assert set(x) == {*recipe.module.NUMBERS, *recipe.module.WORDS}
    assert not set(x) & {"relationship", "fnlwgt", "marital-status", "income"}
    assert x["age"].shape == (16_281, 1)
    assert x["occupation"].shape == (16_281,)


@use("adult")
def test_adult_is_standardised_by_its_training_split(recipe):
    model = recipe.build(HyperParameters())
    x, _ = to_arrays(recipe.data("train", 4096))
    for name in recipe.module.NUMBERS:
        layer = model.trunk.get_layer(f"{name}_standardized")
        scaled = keras.ops.convert_to_numpy(layer(x[name]))
        np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-3)


@use("tox21")
def test_tox21_keeps_missing_labels(recipe):
    parts = [to_arrays(recipe.data(split, 512)) for split in ("train", "valid", "test")]
    assert [x.shape for x, _ in parts] == [(6433, 4096), (804, 4096), (777, 4096)]
    labels = {task: np.concatenate([y[task] for _, y in parts]) for task in recipe.module.ASSAYS}
    assert {task: tuple(counts(labels[task], 2))[::-1] for task in TOX21} == TOX21
    assert sorted(set(np.concatenate(list(labels.values())).tolist())) == [-1, 0, 1]


@use("tox21")
def test_tox21_fingerprints_mark_each_run_of_characters(recipe):
    fingerprints, bits = recipe.module.fingerprints, recipe.module.BITS
    # C, CC, CCO, O and CO; the check value of CRC-32 is that of "123456789".
    assert fingerprints([b"CCO"]).sum() == 5
    assert fingerprints([b"123456789"], longest=9)[0, 0xCBF43926 % bits] == 1
    assert fingerprints([b"123456789"], longest=8).sum() == sum(range(2, 10))
    one, two = fingerprints([b"CCO", b"CCOC"])
    assert ((one == 1) <= (two == 1)).all()


@use("coffee_leaf")
def test_coffee_leaves(recipe):
    data = recipe.data("test", 32)
    x, y = next(iter(data))
    assert x.shape == (32, 128, 256, 3)
    assert x.dtype == "uint8"
    assert y["findings"].shape == (32, 4)
    tasks = describe(data).tasks
    assert tasks["stress"].labelled == 209
    assert tasks["severity"].labelled == 224
    # The commonest class of either task, in percent of the 209 leaves with one kind of damage.
    _, labels = to_arrays(data)
    single = labels["stress"] >= 0
    assert max(counts(labels["stress"], 5)) / 209 == pytest.approx(0.306, abs=5e-4)
    assert max(counts(labels["severity"][single], 5)) / 209 == pytest.approx(0.502, abs=5e-4)
    assert (labels["findings"][labels["stress"] == 0] == 0).all()


@use("coffee_leaf")
def test_coffee_leaves_are_turned_over(recipe):
    image = np.arange(24, dtype="uint8").reshape(4, 6)
    batch = np.tile(image[None, ..., None], (400, 1, 1, 1))
    drawn, _ = recipe.module.augment(batch, {}, 5)
    seen, number = np.unique(np.reshape(drawn, (400, 24)), axis=0, return_counts=True)
    turned = [image, image[::-1], image[:, ::-1], image[::-1, ::-1]]
    assert {tuple(row) for row in seen} == {tuple(t.ravel()) for t in turned}
    assert number.min() > 60


@use("coffee_leaf")
def test_masks_of_coffee_leaves_are_a_second_data_set(recipe):
    hp = HyperParameters({"masks": "true"})
    data = recipe.data("test", 32, hp=hp)
    _, labels = to_arrays(data)
    masked = labels["mask"].max((1, 2)) >= 0
    assert (masked.sum(), len(masked)) == (50, 224 + 50)
    assert (labels["severity"][masked] == -1).all() and (labels["severity"][~masked] >= 0).all()
    # Shares of pixels as in the data set's README, which are those of all splits.
    shares = np.bincount(labels["mask"][masked].ravel(), minlength=3) / labels["mask"][masked].size
    np.testing.assert_allclose(shares, [0.671, 0.316, 0.013], atol=0.02)
    assert list(recipe.build(hp).heads) == ["stress", "severity", "findings", "mask"]
    hp.check()


@use("nuclei")
def test_nuclei(recipe):
    """Counts as in the data set's README; the boundary by another way."""
    images, labels = recipe.module.arrays("test")
    assert images.shape == (125, 128, 128, 3) and counts(labels["modality"], 3) == [108, 4, 13]
    nuclei, boundary = labels["nuclei"].astype(bool), labels["boundary"].astype(bool)
    touching = np.zeros_like(nuclei)  # Mask pixels against none at their right or lower side are on it.
    touching[:, :, :-1] |= nuclei[:, :, :-1] != nuclei[:, :, 1:]
    touching[:, :-1] |= nuclei[:, :-1] != nuclei[:, 1:]
    assert (boundary | ~touching).all() and (nuclei | touching | ~boundary).all()
    batch = np.arange(2 * 16 * 16).reshape(2, 16, 16, 1).astype("float32")
    turned = recipe.module.turned(batch, 7).numpy()
    for one, other in zip(turned, batch, strict=True):
        ways = [t[::a, ::b] for t in (other, other.swapaxes(0, 1)) for a in (1, -1) for b in (1, -1)]
        assert any((one == way).all() for way in ways)


@use("clothing")
def test_clothing(recipe):
    data = recipe.data("valid", 32)
    x, y = next(iter(data))
    assert x.shape == (32, 64, 64, 3)
    assert x.dtype == "uint8"
    tasks = describe(data).tasks
    assert tasks["kind"].labelled == 520
    assert tasks["kids"].labelled == 552
    _, labels = to_arrays(data)
    assert counts(labels["kids"], 2) == [500, 52]


@use("clothing")
def test_clothes_are_mirrored_and_shifted_over_white(recipe):
    size = recipe.module.SIZE
    image = np.zeros((size, size, 3), "uint8")
    image[20, 10] = 200
    drawn, _ = recipe.module.augment(np.tile(image, (300, 1, 1, 1)), {}, 5, most=3)
    drawn = np.asarray(drawn)
    _, row, column, channel = np.nonzero(drawn == 200)
    assert len(row) == 900
    assert set(row) == set(range(17, 24))
    assert set(column) == {*range(7, 14), *range(size - 14, size - 7)}
    assert set(np.unique(drawn)) == {0, 200, 255}
