"""Label specs and their encoding."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from mtlkeras.data import Label
from mtlkeras.data._columns import from_array, from_cells, from_objects
from mtlkeras.data._label_encoding import encode
from mtlkeras.data.labels import label_specs


def encoded(label, *columns):
    return encode("task", label, columns, lambda row: f"row {row + 1} of file.csv")


@pytest.mark.parametrize(
    ("label", "column", "kind", "expected", "classes"),
    [
        (Label("c"), from_cells(["b", "", "a", "b"]), "class", [1, -1, 0, 1], ("a", "b")),
        (Label("c"), from_cells(["2", "", "0"]), "class", [2, -1, 0], ("0", "1", "2")),
        (Label("c"), from_objects([True, None, False]), "class", [1, -1, 0], ("False", "True")),
        (Label("c"), from_objects(["b", None, float("nan"), "a"]), "class", [1, -1, -1, 0], ("a", "b")),
        (Label("c"), from_array(np.array([1, -1, 0])), "class", [1, -1, 0], ("0", "1")),
        (Label("c", kind="class"), from_array(np.array([1.0, np.nan])), "class", [1, -1], ("0", "1")),
        (Label("c", classes=["b", "a"]), from_cells(["a", "b"]), "class", [1, 0], ("b", "a")),
        (Label("c", classes=[5, 3]), from_cells(["3", "", "5"]), "class", [1, -1, 0], ("5", "3")),
        (Label("c", missing=["?", "no"]), from_cells(["?", "a", "no"]), "class", [-1, 0, -1], ("a",)),
        (Label("c", missing=[255]), from_array(np.array([255, 0, 1])), "class", [-1, 0, 1], ("0", "1")),
        (
            Label("c", classes={"top": ["shirt", "coat"], "shoe": "boot"}),
            from_cells(["coat", "boot", "shirt", ""]),
            "class",
            [0, 1, 0, -1],
            ("top", "shoe"),
        ),
        (Label("c"), from_array(np.array([2, 0]), names=("x", "y", "z")), "class", [2, 0], ("x", "y", "z")),
        (
            Label("c", classes=["z", "x"]),
            from_array(np.array([2, 0]), names=("x", "y", "z")),
            "class",
            [0, 1],
            ("z", "x"),
        ),
        (Label("c"), from_cells(["1.5", "", "2"]), "number", [1.5, np.nan, 2.0], ()),
        (Label("c", kind="number"), from_cells(["1", "", "-1"]), "number", [1.0, np.nan, -1.0], ()),
        (Label("c", kind="number", missing="?"), from_cells(["?", "3"]), "number", [np.nan, 3.0], ()),
        (
            Label("c"),
            from_objects([["b"], None, ["a", "b"]]),
            "multi",
            [[0, 1], [-1, -1], [1, 1]],
            ("a", "b"),
        ),
        (Label("c", separator="|"), from_cells(["b|a", "b"]), "multi", [[1, 1], [0, 1]], ("a", "b")),
        (Label("c"), from_array(np.ones((2, 3, 3), np.int64)), "array", np.ones((2, 3, 3)), ()),
    ],
)
def test_encodes(label, column, kind, expected, classes):
    result = encoded(label, column)
    assert (result.kind, result.classes) == (kind, classes)
    np.testing.assert_array_equal(result.values, expected)
    assert result.values.dtype == (np.float32 if kind == "number" else np.int32)


def test_multi_label_is_missing_entry_by_entry():
    result = encoded(Label(["a", "b"]), from_cells(["1", "", "0"]), from_cells(["", "", "1"]))
    np.testing.assert_array_equal(result.values, [[1, -1], [-1, -1], [0, 1]])
    assert result.classes == ("a", "b")


def test_several_numbers_make_a_vector():
    label = Label(["a", "b"], kind="number")
    result = encoded(label, from_cells(["1", ""]), from_array(np.array([0.5, 2.5])))
    np.testing.assert_array_equal(result.values, np.array([[1, 0.5], [np.nan, 2.5]], np.float32))


@pytest.mark.parametrize(
    ("label", "columns", "parts"),
    [
        (
            Label("c", classes=["T-Shirt", "Hat"]),
            [from_cells(["Hat", "Tshirt"])],
            ["'task'", "'Tshirt'", "row 2", "'T-Shirt'?"],
        ),
        (Label("c", kind="number"), [from_cells(["1", "x"])], ["'task'", "'x' is not a number", "row 2"]),
        (Label("c"), [from_array(np.array([0, -5]))], ["'task'", "-5", "row 2", "kind='number'"]),
        (Label("c"), [from_array(np.array([0, 123456]))], ["123456", "row 2", "kind='number'"]),
        (Label("c", kind="class"), [from_array(np.array([0, 0.5]))], ["0.5", "row 2"]),
        (Label("c"), [from_array(np.array([0, 9]), names=("x", "y"))], ["9", "row 2", "0 to 1"]),
        (Label(["a", "b"]), [from_cells(["0"]), from_cells(["2"])], ["'2'", "'b'", "row 1", "kind='number'"]),
        (Label("c", classes=["a"]), [from_objects([["a"], ["b"]])], ["'b'", "row 2"]),
        (Label(["a", "b"], kind="class"), [from_cells(["0"])] * 2, ["'task'", "one column"]),
    ],
)
def test_bad_label_is_named(label, columns, parts):
    with pytest.raises(ValueError) as error:
        encoded(label, *columns)
    for part in parts:
        assert part in str(error.value)


def test_label_is_a_serialisable_value():
    label = Label("status", classes={"never": ["Never-married"], "once": ["Divorced"]}, missing=["?"])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(label))
    assert again == label and hash(again) == hash(label)
    assert eval(repr(label)) == label


@pytest.mark.parametrize("tasks", [{}, "label", {"a": 3}, {1: "a"}, None])
def test_bad_tasks_are_refused(tasks):
    with pytest.raises(ValueError, match="tasks="):
        label_specs(tasks)


def test_unknown_kind_has_a_near_match():
    with pytest.raises(ValueError, match="'number'"):
        Label("c", kind="nubmer")
