"""The same table from a file, a data frame, records and arrays: equal kinds, classes and labels."""

from __future__ import annotations

import csv
import json
from decimal import Decimal

import numpy as np
import pandas
import pytest

from mtlkeras.data import UNSEEN, Label
from mtlkeras.data._arrays import from_arrays
from mtlkeras.data._columns import from_array, from_cells, from_objects
from mtlkeras.data._label_encoding import encode
from mtlkeras.data._table import from_frame, read_table

# Cells of a column by name, `None` where empty, and the kind that they show.
COLUMNS = {
    "whole": ([3, 1, 2, 0], "class"),
    "whole_with_gaps": ([3, None, 2, 0], "class"),
    "large": ([9000, None, 12, 4], "class"),
    "bits": ([1, 0, None, 1], "class"),
    "fractions": ([0.5, 1.25, -3.0, 4.0], "number"),
    "fractions_with_gaps": ([0.5, None, -3.0, None], "number"),
    "whole_fractions": ([1.0, 2.0, 3.0, 4.0], "number"),
    "words": (["red", "blue", "red", "green"], "class"),
    "words_with_gaps": (["red", None, "red", None], "class"),
    "blanks": (["red", " ", "blue", "\t"], "class"),
    "truth": ([True, False, True, True], "class"),
    "truth_with_gaps": ([True, None, False, None], "class"),
    "empty": ([None, None, None, None], "class"),
    "first_only": (["red", None, None, None], "class"),
    "letters": (["Ä", "ß", "日本", "e\u0301"], "class"),
}
ROWS = 4


def as_objects(cells):
    array = np.empty(len(cells), object)
    array[:] = cells
    return array


def _nullable(columns):
    """The types of pandas that know missing values."""
    names = {bool: "boolean", int: "Int64", float: "Float64", str: "string"}
    present = {name: [c for c in cells if c is not None] for name, cells in columns.items()}
    return {name: names[type(cells[0])] for name, cells in present.items() if cells}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The rows of the table by the kind of source."""
    folder = tmp_path_factory.mktemp("kinds")
    columns = {name: cells for name, (cells, _) in COLUMNS.items()}
    records = [{name: cells[row] for name, cells in columns.items()} for row in range(ROWS)]
    for ending, delimiter in (("csv", ","), ("tsv", "\t")):
        # A tab would part cells there.
        rows = [[" " if c == "\t" else "" if c is None else c for c in r.values()] for r in records]
        with open(folder / f"t.{ending}", "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=delimiter).writerows([list(columns), *rows])
    (folder / "t.json").write_text(json.dumps(records))
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, records)))
    frame = pandas.DataFrame(columns)
    frame.to_parquet(folder / "t.parquet")
    found = {e: read_table(folder / f"t.{e}") for e in ("csv", "tsv", "json", "jsonl", "parquet")}
    found["frame"] = from_frame(frame)
    found["frame of a file"] = from_frame(pandas.read_csv(folder / "t.csv"))
    found["nullable frame"] = from_frame(frame.astype(_nullable(columns)))
    found["frame of objects"] = from_frame(frame.astype(object))
    found["arrays"] = from_arrays({name: as_objects(cells) for name, cells in columns.items()})
    return found


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_the_same_from_every_source(sources, name):
    cells, kind = COLUMNS[name]
    present = sorted({c for c in cells if c is not None and str(c).strip()}, key=str)
    for source, rows in sources.items():
        found = encode("task", Label(name), [rows.columns[name]], rows.row_name)
        assert found.kind == kind, source
        for row, cell in enumerate(cells):
            gone = cell is None or not str(cell).strip()
            value = found.values[row]
            if kind == "number":
                assert np.isnan(value) if gone else value == np.float32(cell), source
            elif gone:
                assert value == -1, source
            elif isinstance(cell, str):
                assert found.classes[value] == cell and value == present.index(cell), source
            else:
                assert value == int(cell), source
        if isinstance(cells[0], int) and not isinstance(cells[0], bool):
            number = encode("task", Label(name, kind="number"), [rows.columns[name]], rows.row_name)
            expected = np.array([np.nan if c is None else c for c in cells], np.float32)
            np.testing.assert_array_equal(number.values, expected, err_msg=source)


def test_numbers_of_other_types():
    exact = encode("t", Label("c"), [from_objects([Decimal("1.5"), None, Decimal("2")])], str)
    assert exact.kind == "number" and exact.values[0] == 1.5 and np.isnan(exact.values[1])
    # An array's own type says what it is; only tables lose it.
    floats = encode("t", Label("c"), [from_array(np.array([1.0, np.nan, 3.0]))], str)
    assert floats.kind == "number"
    for dtype in ("int8", "uint8", "int16", "uint32", "int64", "uint64"):
        found = encode("t", Label("c"), [from_array(np.array([2, 0, 1], dtype))], str)
        assert (found.kind, found.values.tolist()) == ("class", [2, 0, 1])
    for dtype in ("float16", "float32", "float64"):
        assert encode("t", Label("c"), [from_array(np.array([2, 0, 1], dtype))], str).kind == "number"


@pytest.mark.parametrize(
    "column", [from_cells(["1", "inf"]), from_array(np.array([1, -np.inf])), from_objects(["1", "-inf", "x"])]
)
def test_infinite_numbers_are_named(column):
    with pytest.raises(ValueError, match="inf is not a finite number, in row 1"):
        encode("t", Label("c", kind="number"), [column.take(np.arange(2))], lambda row: f"row {row}")


SEEN = {"classes": ["red", "blue"]}


@pytest.mark.parametrize(("unseen", "other"), [("missing", -1), ("wrong", UNSEEN)])
def test_values_outside_of_the_classes(unseen, other):
    label = Label("c", unseen=unseen, missing=("?",), **SEEN)
    found = encode("t", label, [from_cells(["blue", "green", "", "?", "red", "Red"])], str)
    assert found.values.tolist() == [1, other, -1, -1, 0, other] and found.values.dtype == np.int32
    assert found.unseen == (2 if unseen == "wrong" else 0)
    assert found.labelled.tolist() == [True, unseen == "wrong", False, False, True, unseen == "wrong"]
    numbers = encode("t", Label("c", classes=[3, 5], unseen=unseen), [from_array(np.array([5, 4, -1]))], str)
    assert numbers.values.tolist() == [1, other, -1]
    tags = Label("c", kind="tags", unseen=unseen, **SEEN)
    found = encode("t", tags, [from_objects([["red", "green"], ["blue"]])], str)
    assert found.values.flat.tolist() == [0, other, 1]


def test_values_outside_of_the_classes_in_a_multi_label_are_left_out():
    label = Label("c", separator="|", unseen="missing", **SEEN)
    found = encode("t", label, [from_cells(["red|green", "green", ""])], str)
    assert found.values.tolist() == [[1, 0], [0, 0], [-1, -1]]
    with pytest.raises(ValueError, match="'green'.*'red'"):
        encode("t", label.replace(unseen="error"), [from_cells(["green"])], str)
    with pytest.raises(ValueError, match="Task 't': unseen='wrong' is for kinds 'class' and 'tags'"):
        encode("t", label.replace(unseen="wrong"), [from_cells(["green"])], str)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"unseen": "mising", **SEEN}, "'mising'.*'missing'?"),
        ({"unseen": "missing"}, "unseen='missing' needs classes="),
        ({"unseen": "missing", "kind": "number", **SEEN}, "unseen='missing' needs classes="),
        ({"unseen": "wrong", "kind": "multi", **SEEN}, "'class' and 'tags'"),
    ],
)
def test_bad_unseen_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Label("c", **fields)
