"""The recipes that come with mtlkeras, on little data."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from mtlkeras._app.cli import main
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe, find_recipe

pytestmark = pytest.mark.tensorflow

SIZES = {"train": 55_020, "t10k": 30}


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """IDX files of Fashion-MNIST's form: each picture is its class times 20, brighter to the right."""
    folder = tmp_path_factory.mktemp("data") / "fashion-mnist"
    folder.mkdir()
    for part, count in SIZES.items():
        labels = np.arange(count) % 10
        images = (labels[:, None, None] * 20 + np.arange(28)).astype("uint8") * np.ones((1, 28, 1), "uint8")
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype("uint8"))):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            file = folder / f"{part}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(header + array.tobytes(), 1))
    return folder.parent


def test_digits_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits", "--epochs", "3", "--quiet"]) == 0
    test = json.loads((tmp_path / "runs/digits-1/metrics.json").read_text())["test"]
    assert test["digit_accuracy"] >= 0.93
    assert test["parity_accuracy"] >= 0.93
    capsys.readouterr()
    assert main(["predict", "digits-1", "--limit", "3"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [a["parity"] for a in answers] == [("even", "odd")[a["digit"] % 2] for a in answers]


@pytest.mark.slow
def test_digits_reaches_what_it_promises(tmp_path):
    assert main(["train", "digits", "--run-dir", str(tmp_path / "run")]) == 0
    test = json.loads((tmp_path / "run/metrics.json").read_text())["test"]
    assert test["digit_accuracy"] >= 0.97
    assert test["parity_accuracy"] >= 0.97


def test_digits_splits_hold_every_picture_once():
    recipe = Recipe(find_recipe("digits"))
    parts = {s: np.concatenate([x for x, _ in recipe.data(s, 100)]) for s in ("train", "valid", "test")}
    assert sum(map(len, parts.values())) == 1797
    together = np.concatenate(list(parts.values())).reshape(1797, -1)
    from sklearn.datasets import load_digits

    images = load_digits().images.reshape(1797, -1) / 16
    assert sorted(map(bytes, together)) == sorted(map(bytes, images.astype("float32")))


def test_fashion_groups_follow_from_the_articles(clothes):
    recipe = Recipe(find_recipe("fashion"))
    groups = np.array([0, 1, 0, 2, 0, 3, 0, 3, 4, 3])
    assert tuple(recipe.module.GROUPS) == ("tops", "trousers", "dresses", "shoes", "bags")
    for split, count in (("valid", 20), ("test", 30)):
        x, y = next(iter(recipe.data(split, 100, clothes)))
        assert x.shape == (count, 28, 28, 1)
        assert x.dtype == "uint8"
        np.testing.assert_array_equal(y["article"], np.arange(count) % 10)
        np.testing.assert_array_equal(y["group"], groups[np.arange(count) % 10])


def test_fashion_augmentation_mirrors_and_shifts():
    """Each result is one of the fifty pictures that mirroring and shifting can give."""
    augment = Recipe(find_recipe("fashion")).module.augment
    image = np.arange(1, 37, dtype="uint8").reshape(6, 6)
    possible = {}
    for mirrored in (False, True):
        for down in range(-2, 3):
            for right in range(-2, 3):
                moved = np.zeros((10, 10), "uint8")
                moved[2 + down : 8 + down, 2 + right : 8 + right] = image[:, ::-1] if mirrored else image
                possible[moved[2:8, 2:8].tobytes()] = (mirrored, down, right)
    batch = np.tile(image[None, ..., None], (2000, 1, 1, 1))
    import tensorflow as tf

    drawn, labels = augment(tf.constant(batch), {"a": 1}, tf.constant(5, "int64"), most=2)
    found = [possible[x.tobytes()] for x in drawn.numpy()]
    assert labels == {"a": 1}
    assert len(set(found)) == 50
    assert 0.45 < np.mean([mirrored for mirrored, _, _ in found]) < 0.55


def test_fashion_training_split_is_shuffled_and_augmented_anew_each_epoch(clothes):
    data = Recipe(find_recipe("fashion")).data("train", 200, clothes)
    assert int(data.cardinality()) == 275
    (x1, y1), (x2, y2) = next(iter(data)), next(iter(data))
    assert x1.shape == (200, 28, 28, 1)
    assert (y1["article"].numpy() != y2["article"].numpy()).any()
    assert (x1.numpy() != x2.numpy()).any()


@pytest.mark.parametrize("trunk", ["resnet", "alexnet", "vgg", "googlenet"])
def test_fashion_builds_with_each_trunk(trunk):
    hp = HyperParameters({"trunk": trunk})
    model = Recipe(find_recipe("fashion")).build(hp)
    hp.check()
    assert {task: x.shape for task, x in model.output.items()} == {"article": (None, 10), "group": (None, 5)}
    assert float(model.optimizer.learning_rate) == 0.0


def test_multifashion_lays_two_pictures_over_each_other(clothes):
    recipe = Recipe(find_recipe("multifashion"))
    x, y = next(iter(recipe.data("test", 100, clothes)))
    left, right = y["left"].numpy(), y["right"].numpy()
    np.testing.assert_array_equal(left, np.arange(30) % 10)
    assert sorted(left) == sorted(right)
    for picture, a, b in zip(x.numpy()[..., 0].astype(int), left, right, strict=True):
        expected = np.zeros((36, 36), int)
        expected[:28, :28] = a * 20 + np.arange(28)
        expected[8:, 8:] = np.maximum(expected[8:, 8:], b * 20 + np.arange(28))
        np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("count", [2, 3, 10, 1001])
def test_multifashion_pairs_nothing_with_itself(count):
    partner = Recipe(find_recipe("multifashion")).module.derangement(count, 0)
    assert sorted(partner) == list(range(count))
    assert (partner != np.arange(count)).all()


@pytest.mark.slow
def test_multifashion_learns_from_both_corners(clothes):
    recipe = Recipe(find_recipe("multifashion"))
    model = recipe.build(
        HyperParameters({"learning_rate": "1e-2"}, fixed={"steps_per_epoch": 40, "epochs": 10})
    )
    data = recipe.data("test", 30, clothes)
    first = model.evaluate(data, verbose=0, return_dict=True)
    model.fit(data.repeat(150), verbose=0)
    last = model.evaluate(data, verbose=0, return_dict=True)
    assert last["left_loss"] < 0.7 * first["left_loss"]
    assert last["right_loss"] < 0.7 * first["right_loss"]
