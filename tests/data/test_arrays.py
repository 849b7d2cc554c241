"""NumPy arrays as a source, batching, and the check of inputs."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
import tensorflow as tf

from mtlkeras.data import check_finite, describe, load, to_arrays
from mtlkeras.data._options import Options


def test_options_are_the_arguments_that_load_shows():
    shown = {
        name: parameter.default
        for name, parameter in inspect.signature(load).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert {field.name: field.default for field in dataclasses.fields(Options)} == shown


def test_pair_with_dict_of_labels():
    x = np.random.default_rng(0).random((10, 3))
    y = {"digit": np.arange(10), "size": np.linspace(0, 1, 10)}
    got_x, got_y = to_arrays(load((x, y), {"d": "digit", "s": "size"}, batch_size=4))
    np.testing.assert_array_equal(got_x, x.astype("float32"))
    np.testing.assert_array_equal(got_y["d"], y["digit"])
    np.testing.assert_array_equal(got_y["s"], y["size"].astype("float32"))


def test_plain_pair_is_named_x_and_y():
    x, y = to_arrays(load((np.ones((3, 2, 2, 1), np.uint8), np.array([1, 0, 1])), {"t": "y"}))
    assert x.shape == (3, 2, 2, 1) and x.dtype == np.uint8 and y["t"].tolist() == [1, 0, 1]


def test_dict_gives_all_other_arrays_as_inputs():
    source = {"a": np.ones((3, 2)), "b": np.arange(3), "y": np.arange(3), "split": ["train"] * 3}
    x, _ = to_arrays(load(source, {"t": "y"}, split="train", shuffle=False))
    assert set(x) == {"a", "b"} and x["b"].shape == (3, 1) and x["b"].dtype == np.int32


@pytest.mark.parametrize(("drop", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_no_example_is_dropped_unless_asked(drop, sizes):
    dataset = load((np.ones((10, 1)), np.arange(10)), {"t": "y"}, batch_size=4, drop_remainder=drop)
    assert [len(y["t"]) for _, y in dataset] == sizes
    assert int(dataset.cardinality()) == len(sizes)


def test_missing_labels_pass_through():
    _, y = to_arrays(load({"x": np.ones(3), "i": [0, -1, 2], "f": [0.5, np.nan, 1]}, {"i": "i", "f": "f"}))
    np.testing.assert_array_equal(y["i"], [0, -1, 2])
    np.testing.assert_array_equal(y["f"], np.array([0.5, np.nan, 1], np.float32))


def test_pictures_are_resized():
    pictures = np.full((3, 4, 4, 1), 9, np.uint8)
    x, _ = to_arrays(load((pictures, np.arange(3)), {"t": "y"}, image_size=(8, 6), channels=3))
    assert x.shape == (3, 8, 6, 3) and x.dtype == np.uint8 and (x == 9).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((np.ones(3), np.ones(4)), "'x' 3, 'y' 4"),
        ((np.ones(3), np.ones(3), np.ones(3)), "pair"),
        (({"a": np.ones(3)}, {"a": np.ones(3)}), "'a'"),
        ({}, "no arrays"),
        ({"x": 3, "y": np.ones(2)}, "'x'"),
        (np.ones(3), "pair"),
        (7, "int"),
    ],
)
def test_bad_arrays_are_refused(source, message):
    with pytest.raises(ValueError, match=message):
        load(source, {"t": "y"})


def test_check_finite_names_input_and_row():
    source = ({"a": np.ones(3), "b": np.array([1, 2, np.inf])}, np.arange(3))
    with pytest.raises(ValueError, match=r"'b'.*row 3"):
        load(source, {"t": "y"}, check_finite=True)


def test_check_finite_of_any_dataset():
    good = load(({"a": np.ones(3), "b": np.ones(3)}, [0.5, np.nan, 1]), {"t": "y"})
    assert len(to_arrays(check_finite(good))[1]["t"]) == 3
    assert describe(check_finite(good)).examples == 3
    bad = load(({"a": np.ones(3), "b": np.array([1, 2, np.nan])}, np.arange(3)), {"t": "y"}, batch_size=1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Input 'b' has NaN or infinity"):
        to_arrays(check_finite(bad))


def test_dataset_without_report_is_told():
    with pytest.raises(ValueError, match="load"):
        describe(tf.data.Dataset.range(3))
