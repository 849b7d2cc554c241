"""TFDS builders and names, without network."""

from __future__ import annotations

import time

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from mtlkeras.data import Label, describe, load, set_epoch, to_arrays
from mtlkeras.data.picture import fit_array

from .toy_builder import ToyFruit

TASKS = {
    "colour": "colour",
    "warm": Label("colour", classes={"warm": ["red"], "cold": ["green", "blue"]}),
    "fruit": "fruit",
    "weight": "weight",
    "grade": "grade",
    "both": ["ripe", "nested/inner"],
    "pair": "pair",
}


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    builder = ToyFruit(data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return builder


def by_number(dataset):
    """Reads a data set whose input is `small`, sorted by the number in the picture."""
    x, y = to_arrays(dataset)
    order = np.argsort(x[:, 0, 0, 0])
    return x[order], {task: values[order] for task, values in y.items()}


@pytest.mark.parametrize("cache", [False, "folder"])
def test_every_kind_of_feature(builder, cache, tmp_path):
    cache = tmp_path if cache == "folder" else cache
    for _ in range(2 if cache else 1):  # Made in memory and kept, then read from there.
        dataset = load(builder, TASKS, split="train", cache=cache, batch_size=5)
        x, y = by_number(dataset)
        assert x[:, 0, 0, 0].tolist() == list(range(12)) and x.dtype == np.uint8
        assert y["colour"].tolist() == [0, 1, 2, 0, -1, 2, 0, 1, 2, 0, 1, 2]
        assert y["warm"].tolist() == [0, 1, 1, 0, -1, 1, 0, 1, 1, 0, 1, 1]
        assert y["fruit"].tolist() == [0, 2, 1, -1, 2, 1, 0, 2, 1, 0, 2, 1]
        np.testing.assert_array_equal(y["weight"], [np.nan if i == 2 else i / 2 for i in range(12)])
        assert y["grade"].tolist() == [i % 5 for i in range(12)]
        assert y["both"].tolist() == [[1 - i % 2, i % 2] for i in range(12)]
        assert y["pair"].tolist() == [[i, -i] for i in range(12)]
        dtypes = {task: values.dtype.name for task, values in y.items()}
        assert {t for t, d in dtypes.items() if d == "float32"} == {"weight", "pair"}
    report = describe(dataset)
    assert report.examples == 12 and int(dataset.cardinality()) == 3
    assert report.tasks["colour"].classes == ("red", "green", "blue")
    assert report.tasks["fruit"].classes == ("apple", "fig", "pear")
    assert [report.tasks[t].missing for t in ("colour", "warm", "fruit", "weight")] == [1, 1, 1, 1]
    assert report.tasks["warm"].counts == {"warm": 4, "cold": 7}


@pytest.mark.parametrize("cache", [False, True])
def test_words_have_the_same_ids_in_every_split(builder, cache):
    _, y = by_number(load(builder, {"fruit": "fruit"}, split="test", cache=cache))
    assert y["fruit"].tolist() == [1, 1, 1, -1, 1]


@pytest.mark.parametrize("cache", [False, True])
def test_pictures_are_brought_to_one_size(builder, cache):
    dataset = load(builder, {"colour": "colour"}, ["image", "weight"], image_size=6, channels=1, cache=cache)
    x, _ = to_arrays(dataset)
    assert x["image"].shape == (17, 6, 6, 1) and x["image"].dtype == np.uint8
    assert x["weight"].shape == (17, 1)
    stored = [e["image"] for e in builder.as_dataset(split="all").as_numpy_iterator()]
    np.testing.assert_array_equal(x["image"], [fit_array(p, (6, 6), 1) for p in stored])
    with pytest.raises(ValueError, match="'image'.*image_size="):
        load(builder, {"colour": "colour"}, "image", cache=cache)


@pytest.mark.parametrize("cache", [False, True])
def test_order_follows_seed_and_epoch(builder, cache):
    def order(dataset):
        return to_arrays(dataset)[0][:, 0, 0, 0].tolist()

    first, second = (
        load(builder, {"colour": "colour"}, split="train", seed=3, cache=cache) for _ in range(2)
    )
    epochs = [order(first) for _ in range(3)]
    assert [order(second) for _ in range(3)] == epochs
    assert len({tuple(e) for e in epochs}) == 3 and sorted(epochs[0]) == list(range(12))
    assert set_epoch(second, 1) and order(second) == epochs[1]


def test_slices_of_splits(builder):
    assert describe(load(builder, {"c": "colour"}, split="train[:50%]")).examples == 6
    assert describe(load(builder, {"c": "colour"}, split="train+test")).examples == 17
    assert describe(load(builder, {"c": "colour"})).examples == 17


def test_folder_of_a_prepared_set(builder):
    assert describe(load(builder.data_path, {"c": "colour"}, split="test")).examples == 5


def test_too_many_to_count(builder, monkeypatch):
    monkeypatch.setattr("mtlkeras.data._from_tfds._COUNTED", 3)
    dataset = load(builder, TASKS, split="train")
    assert by_number(dataset)[1]["warm"].tolist() == [0, 1, 1, 0, -1, 1, 0, 1, 1, 0, 1, 1]
    report = describe(dataset)
    assert report.tasks["colour"].labelled is None and "not counted" in str(report)
    assert report.tasks["warm"].classes == ("warm", "cold")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"tasks": {"c": "color"}}, ["'color'", "'colour'?", "toy_fruit"]),
        ({"tasks": {"c": "nested/iner"}}, ["'iner'", "'inner'?"]),
        ({"inputs": "imge"}, ["'imge'", "'image'?"]),
        ({"split": "trian"}, ["'trian'", "'train'?"]),
        ({"tasks": {"c": Label("colour", classes=["red", "gren", "blue"])}}, ["'c'", "'green'", "'gren'?"]),
        ({"fractions": {"train": 1.0}}, ["fractions=", "train[:90%]"]),
        ({"image_column": "image"}, ["image_column="]),
    ],
)
def test_bad_argument_is_named(builder, arguments, parts):
    with pytest.raises(ValueError) as error:
        load(builder, **{"tasks": {"c": "colour"}, **arguments})
    for part in parts:
        assert part in str(error.value)


def test_mocked_set_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_DIRS", "")
    monkeypatch.delenv("MTLKERAS_DATA", raising=False)
    with tfds.testing.mock_data(num_examples=7):
        monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
        dataset = load("mnist:3.*.*", {"digit": "label"}, split="train", data_dir=tmp_path, batch_size=4)
        x, y = to_arrays(dataset)
    assert x.shape == (7, 28, 28, 1) and y["digit"].dtype == np.int32


def test_unknown_name_has_a_near_match():
    with pytest.raises(ValueError, match="'cifar_10'.*'cifar10'?"):
        load("cifar_10", {"a": "label"})


def test_absent_set_fails_at_once_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", _no_network)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="'cifar10'.*cannot be downloaded.*data_dir="):
        load("cifar10", {"a": "label"}, data_dir=tmp_path)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "failure", [requests.exceptions.ConnectionError("gone"), ConnectionResetError("gone")]
)
def test_download_that_breaks_off_is_told(builder, failure, capsys):
    class Unprepared:
        info, data_path, as_dataset = builder.info, "folder", None

        def is_prepared(self):
            return False

        def download_and_prepare(self):
            raise failure

    with pytest.raises(ConnectionError, match="'toy_fruit' is not in folder.*gone"):
        load(Unprepared(), {"a": "colour"})
    assert "Preparing toy_fruit" in capsys.readouterr().out


def _no_network(*args, **kwargs):
    raise OSError("no route to host")
