"""Tables: reading, inputs, errors that name the row."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas
import pytest

from mtlkeras.data import DataWarning, Label, describe, load, table_statistics, to_arrays

KEPT = {"age": np.nan}  # Leaves empty cells as they are.
CSV = "age,job,income,split\n31,cook,low,train\n45,?,high,train\n,cook,,test\n28,smith,low,test\n"


@pytest.fixture(params=["csv", "csv.gz", "tsv", "json", "jsonl", "parquet", "frame"])
def table(request, tmp_path):
    """The same four rows in every format."""
    rows = [dict(zip(CSV.split()[0].split(","), line.split(","), strict=True)) for line in CSV.split()[1:]]
    rows = [{**r, "age": int(r["age"]) if r["age"] else None, "income": r["income"] or None} for r in rows]
    path = tmp_path / f"t.{request.param}"
    if request.param == "csv":
        path.write_text(CSV)
    elif request.param == "csv.gz":
        path.write_bytes(gzip.compress(CSV.encode()))
    elif request.param == "tsv":
        path.write_text("﻿" + CSV.replace(",", "\t"), encoding="utf-8")
    elif request.param == "json":
        path.write_text(json.dumps(rows))
    elif request.param == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        frame = pandas.DataFrame(rows)
        if request.param == "frame":
            return frame
        frame.to_parquet(path)
    return path


def test_every_format_gives_the_same(table):
    vocabulary = {"job": ["cook", "smith"]}
    dataset = load(table, {"income": "income", "age": Label("age", kind="number")}, ["age", "job"], fill=KEPT)
    x, y = to_arrays(dataset)
    np.testing.assert_array_equal(x["age"], np.array([[31], [45], [np.nan], [28]], np.float32))
    assert x["job"].tolist() == [b"cook", b"?", b"cook", b"smith"]
    np.testing.assert_array_equal(y["income"], [1, 0, -1, 1])
    np.testing.assert_array_equal(y["age"], np.array([31, 45, np.nan, 28], np.float32))
    x, _ = to_arrays(load(table, {"income": "income"}, ["job"], vocabularies=vocabulary, split="test"))
    np.testing.assert_array_equal(x["job"], [[0], [1]])
    x, _ = to_arrays(load(table, {"income": "income"}, ["job"], vocabularies=vocabulary))
    assert x["job"].dtype == np.int32 and x["job"][1, 0] == -1


def test_ids_do_not_depend_on_the_split(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,label,split\n1,b,train\n2,a,test\n")
    for split, expected in (("train", 1), ("test", 0)):
        with pytest.warns(DataWarning, match="'a' has no example in training, and 1 in test"):
            _, y = to_arrays(load(path, {"label": "label"}, "x", split=split))
        assert y["label"].tolist() == [expected]


def test_vector_input_stacks_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n1,2.5,0\n3,4,1\n")
    x, _ = to_arrays(load(path, {"y": "y"}, {"numbers": ["b", "a"]}))
    np.testing.assert_array_equal(x["numbers"], np.array([[2.5, 1], [4, 3]], np.float32))


def test_report(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("age,label,a,b\n1,x,1,\n2,,0,\n,x,,\n4,y,1,0\n")
    tasks = {"label": "label", "marks": ["a", "b"], "age": Label("age", kind="number")}
    report = describe(load(path, tasks, "age", verbose=True, fill=KEPT).map(lambda x, y: (x, y)).take(1))
    assert (report.examples, report.source, report.split) == (4, "t.csv", None)
    assert report.inputs == {"age": ((1,), "float32")}
    label, marks, age = (report.tasks[name] for name in tasks)
    assert (label.labelled, label.missing, label.counts) == (3, 1, {"x": 2, "y": 1})
    assert (marks.labelled, marks.missing) == (3, 1)
    assert marks.counts == {"a": 2, "b": 0} and marks.missing_entries == {"a": 1, "b": 3}
    assert age.mean == pytest.approx(7 / 3) and age.scale == pytest.approx(np.std([1, 2, 4]))
    assert str(report) in capsys.readouterr().out
    assert ["label", "class", "2", "3", "1"] in [line.split() for line in str(report).splitlines()]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("t.csv", "x,y\n1,0\n1\n", ["Row 2 of t.csv", "line 3", "1 cells instead of 2"]),
        ("t.csv", "x,y\n1,0\n1,2,3\n", ["Row 2 of t.csv", "3 cells instead of 2"]),
        ("t.jsonl", '{"x": 1, "y": 0}\n{"x": \n', ["Row 2 of t.jsonl", "not a JSON object"]),
        ("t.json", '[{"x": 1, "y": 0}, 7]', ["Row 2 of t.json", "not a JSON object"]),
    ],
)
def test_bad_row_is_named_or_skipped_with_a_count(tmp_path, name, text, parts):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        load(path, {"y": "y"}, "x")
    for part in [*parts, "on_error='skip'"]:
        assert part in str(error.value)
    report = describe(load(path, {"y": "y"}, "x", on_error="skip"))
    assert report.examples == 1 and len(report.skipped) == 1
    assert "skipped 1: row 2" in str(report)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", "empty"),
        ("t.csv", b"x,x\n1,2\n", "twice"),
        ("t.csv", b'x,y\n1,"2\n', "Cannot read t.csv at line"),
        ("t.csv", b"x,y\n\xff,1\n", "Cannot read t.csv"),
        ("t.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9], "Cannot read t.csv.gz"),
        ("t.csv.gz", b"x,y\n", "Cannot read t.csv.gz"),
        ("t.json", b"[1", "Cannot read t.json"),
        ("t.parquet", b"PAR1nothing", "Cannot read t.parquet"),
        ("t.csv", b"x,y\n", "no examples"),
    ],
)
def test_broken_file_is_named(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load(path, {"y": "y"}, "x")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"tasks": {"i": "incom"}}, ["'incom'", "task 'i'", "'income'?", "t.csv"]),
        ({"inputs": ["agee"]}, ["'agee'", "'age'?", "inputs="]),
        ({"inputs": None}, ["inputs=", "age, job, income"]),
        ({"inputs": {"v": ["age", "job"]}}, ["'v'", "'cook'", "'job'", "row 1 of t.csv", "vocabular"]),
        ({"inputs": {"v": ["age", "job"]}, "vocabularies": {"job": ["cook"]}}, ["'v'", "mixes"]),
        ({"vocabularies": {"jobb": []}, "inputs": "job"}, ["'jobb'", "'job'?"]),
        ({"split": "tests"}, ["'tests'", "'test'?"]),
        ({"split": "train[:0]"}, ["empty"]),
        ({"split": "train[a]"}, ["cannot be read"]),
        ({"split": "train", "split_column": "splitt"}, ["'splitt'", "'split'?"]),
        ({"split": "train", "fractions": {"train": 0.5, "test": 0.2}}, ["add up to 1"]),
        ({"fractions": {"train": 1.0}}, ["split="]),
        ({"fill": {}}, ["'age'", "row 3 of t.csv", "fill={'age': 0.0}", "on_error='skip'"]),
        ({"fill": {"agee": 1}}, ["'agee'", "'age'?", "fill="]),
        ({"fill": {"age": "old"}}, ["'age'", "'old'", "a number"]),
        ({"check_finite": True}, ["'age'", "NaN", "row 3 of t.csv"]),
        ({"on_error": "skp"}, ["'skp'", "'skip'?"]),
        ({"batch_size": 0}, ["batch_size="]),
        ({"seed": -1}, ["seed="]),
        ({"labels": "labels.csv"}, ["labels="]),
        ({"image_size": 8}, ["image_size="]),
    ],
)
def test_bad_argument_is_named(tmp_path, arguments, parts):
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    with pytest.raises(ValueError) as error:
        load(path, **{"tasks": {"i": "income"}, "inputs": "age", "fill": KEPT, **arguments})
    for part in parts:
        assert part in str(error.value)


@pytest.fixture
def gaps(tmp_path):
    """Empty cells in two columns of numbers and one of words."""
    path = tmp_path / "gaps.csv"
    path.write_text(
        "age,size,job,y,split\n31,1.5,cook,a,train\n,2.5,,b,train\n28,,smith,a,test\n, ,cook,b,test\n"
    )
    return path


def test_empty_cells_among_inputs_are_named_filled_or_left_out(gaps):
    message = r"'age' has no number in row 2 of gaps.csv \(number of such rows: 2; also in 'size' \(2\)\)"
    for inputs in (["age", "size"], {"v": ["age", "size"]}):
        with pytest.raises(ValueError, match=message):
            load(gaps, {"y": "y"}, inputs)
    with pytest.raises(ValueError, match="'size' has no number in row 3 of gaps.csv"):
        load(gaps, {"y": "y"}, ["size"])
    with pytest.raises(ValueError, match="number of such rows: 1"):
        load(gaps, {"y": "y"}, ["age"], split="train")
    dataset = load(gaps, {"y": "y"}, ["age", "size", "job"], on_error="skip")
    x, y = to_arrays(dataset)
    assert (x["age"].tolist(), y["y"].tolist()) == ([[31]], [0])
    assert describe(dataset).skipped[0] == "row 2 of gaps.csv (an input is empty)"
    means = table_statistics(gaps, ["age", "size"], split="train").mean
    x, _ = to_arrays(load(gaps, {"y": "y"}, ["age", "size", "job"], fill={**means, "job": "none"}))
    assert x["age"][:, 0].tolist() == [31, 31, 28, 31] and x["size"][:, 0].tolist() == [1.5, 2.5, 2, 2]
    assert x["job"].tolist() == [b"cook", b"none", b"smith", b"cook"]
    x, _ = to_arrays(load(gaps, {"y": "y"}, {"v": ["size", "age"]}, fill={"age": np.nan, "size": -1}))
    np.testing.assert_array_equal(x["v"][:, 1], [31, np.nan, 28, np.nan])
    assert x["v"][:, 0].tolist() == [1.5, 2.5, -1, -1]
    with pytest.raises(ValueError, match="Every row"):
        load(gaps, {"y": "y"}, ["age", "size"], split="test", on_error="skip")


def test_columns_of_one_name_are_told():
    frame = pandas.DataFrame([[1, 2, 0]], columns=["x", "x", "y"])
    with pytest.raises(ValueError, match="names a column twice: x, x, y"):
        load(frame, {"y": "y"}, "x")


def test_absent_file_has_a_near_match(tmp_path):
    (tmp_path / "people.csv").write_text(CSV)
    with pytest.raises(FileNotFoundError, match="'people.csv'?"):
        load(tmp_path / "poeple.csv", {"i": "income"}, "age")


def test_names_are_looked_up_in_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "people.csv").write_text(CSV)
    assert describe(load("people.csv", {"i": "income"}, "job", data_dir=tmp_path)).examples == 4
    monkeypatch.setenv("MTLKERAS_DATA", str(tmp_path))
    assert describe(load("people.csv", {"i": "income"}, "job")).examples == 4


def test_table_statistics_equal_numpy(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    found = table_statistics(path, ["age"], ["job"])
    assert found.mean["age"] == pytest.approx(np.mean([31, 45, 28]))
    assert found.scale["age"] == pytest.approx(np.std([31, 45, 28]))
    assert found.vocabularies["job"] == ("?", "cook", "smith")
    train = table_statistics(path, ["age"], ["job"], split="train")
    assert train.mean["age"] == 38 and train.vocabularies["job"] == ("?", "cook")
    assert table_statistics({"c": [2.0, 2.0]}, ["c"]).scale["c"] == 1
    with pytest.raises(ValueError, match=r"'job'.*'cook'.*row 1 of t.csv"):
        table_statistics(path, ["job"])
    with pytest.raises(ValueError, match="'age'"):
        table_statistics(path, ["agee"])
