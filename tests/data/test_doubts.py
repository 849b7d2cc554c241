"""What `load` guessed, and what it warns of."""

from __future__ import annotations

import warnings

import numpy as np
import pandas
import pytest

from mtlkeras.data import DataWarning, Label, describe, load
from mtlkeras.data._columns import from_array, from_cells, from_objects
from mtlkeras.data._label_encoding import encode
from mtlkeras.data.doubts import guess_of, label_doubts


def doubts(column, label=None):
    """What is said of a column of labels, and from what its kind was guessed."""
    label = label or Label("c")
    encoded = encode("task", label, [column], lambda row: f"row {row + 1}")
    return label_doubts("task", label, [column], encoded, "t.csv"), guess_of(label, [column])


WORDS = ["red", "blue"] * 30
PRICES = [str(100 + 7 * i) for i in range(60)]

# Cells of a file, and parts of the one sentence that is said of them.
WARNED = {
    "whole-number prices": (PRICES, ["60 different whole numbers in 60 rows", "Label('c', kind='number')"]),
    "few examples each": (
        [str(i // 2) for i in range(41)] + [str(i) for i in range(30, 41)],
        ["32 different whole numbers in 52 rows"],
    ),
    "ages": ([str(17 + i % 70) for i in range(400)], ["87 classes, 0 to 86, of which 70", "kind='number'"]),
    "0 and 255": (["0", "255"] * 9, ["256 classes, 0 to 255, of which 2 have an example"]),
    "free text": ([f"word {i} of it" for i in range(30)], ["30 different words in 30 rows"]),
    "decimal commas": (["3,5", "2,25", "17", "3,5"] * 9, ["written like '2,25'", "decimal=','"]),
    "thousands": (["1,250", "900", "12,000"], ["written like '1,250'"]),
    "currency": (["$3.50", "$4.25", "$9"], ["written like '$3.50'", "3 classes"]),
    "percent": (["3 %", "4.5 %", "9 %"], ["written like"]),
    "a word among numbers": ([*PRICES, "about 9"], ["but for 'about 9'", "61 classes"]),
    "a typo": ([*WORDS, "bleu"], ["'bleu' has one example and is spelt nearly like 'blue' with 30"]),
    "a letter less": ([*["Sedan"] * 30, "Sedn"], ["'Sedn' has one example", "'Sedan'"]),
    "case": ([*WORDS, "Red", "Red"], ["'red' and 'Red' differ by case or blanks", "classes={'red': ["]),
    "blanks": ([*WORDS, "RED ", "RED "], ["'red' and 'RED '"]),
    "inner blanks": (["New  York", "New York"] * 3, ["'New  York'"]),
    "wide letters": (["ＡＢ", "AB"] * 3, ["'AB'"]),
    **{
        f"missing {gone!r}": (
            [*WORDS, gone],
            [f"{gone!r} is a class (1 row)", f"Label('c', missing=[{gone!r}])"],
        )
        for gone in (
            *(
                "N/A",
                "NA",
                "n/a",
                "#N/A",
                "<NA>",
                "null",
                "NULL",
                "nan",
                "NaN",
                "-nan",
                "None",
                "-",
                "--",
                "?",
            ),
            *(" ? ", "NA "),
        )
    },
    "missing among numbers": (
        [*(f"{i}.5" for i in range(9)), "N/A"],
        ["'N/A' is a class", "the values are numbers"],
    ),
}

# Cells that nothing is said of.
QUIET = {
    "two words": WORDS,
    "one word": ["red"],
    "ids of many classes": [str(i % 100) for i in range(800)],
    "few ids with a gap": ["0", "2", "5", "9"],
    "each digit once": [str(i) for i in range(10)],
    "a few names once": [f"name {'abcdefghij'[i]}" for i in range(10)],
    "rare and unlike": [*WORDS, "chartreuse"],
    "numbered names": [*["type 1"] * 30, "type 2"],
    "short names": [*["cat"] * 30, "bat"],
    "names with numbers": ["3 doors", "5 doors"] * 9,
    "gaps": ["red", "", " ", "\t", "blue"],
    "grades": ["A", "B", "C", "1", "2"] * 5,
    "true and false": ["True", "False", ""],
    "fractions": ["1.5", "2.5", ""] * 20,
    "words like none": ["no", "unknown", "other", "nothing"] * 5,
}


@pytest.mark.parametrize("name", WARNED)
def test_what_may_be_meant_otherwise_is_said(name):
    cells, parts = WARNED[name]
    said, guessed = doubts(from_cells(cells))
    for part in parts:
        assert any(part in sentence for sentence in said), said
    assert len(said) == (2 if name == "missing among numbers" else 1), said
    assert all(sentence.startswith("Task 'task' (column 'c' of t.csv): ") for sentence in said)
    assert guessed.startswith("whole numbers (" if cells[0].isdigit() and len(set(cells)) != 61 else "words")


@pytest.mark.parametrize("name", QUIET)
def test_nothing_is_said_of_what_is_plain(name):
    assert doubts(from_cells(QUIET[name]))[0] == []


@pytest.mark.parametrize(
    ("cells", "label"),
    [
        (PRICES, Label("c", kind="number")),
        (PRICES, Label("c", kind="class")),
        (["red", "N/A"], Label("c", classes=("red", "N/A"))),
        (["red", "N/A"], Label("c", missing=("N/A",))),
        (["red", "RED"], Label("c", classes={"red": ["red", "RED"]})),
        (["0", "255"] * 9, Label("c", classes=(0, 255))),
    ],
)
def test_what_is_stated_is_not_doubted(cells, label):
    said, guessed = doubts(from_cells(cells), label)
    assert said == [] and (guessed is None) == (not label.missing)


def test_lists_and_tags_are_looked_at_too():
    said, guessed = doubts(from_cells(["a|b", "A", "null|b"]), Label("c", separator="|"))
    assert ["'null' is a class" in s for s in said] == [True, False] and "differ by case" in said[1]
    lists = from_objects([["B-x", "."], ["b-x", "-"]])
    assert guessed is None and "'B-x' and 'b-x'" in doubts(lists, Label("c", kind="tags"))[0][0]
    assert len(doubts(lists, Label("c", kind="tags"))[0]) == 1, "a tag may be a dot"


@pytest.mark.parametrize(
    ("column", "guess"),
    [
        (from_cells(["1", "", "3"]), "whole numbers (2 different values in 3 rows)"),
        (from_cells(["1.5", "", "3"]), "numbers that are not all whole (2 different values in 3 rows)"),
        (from_cells(["", ""]), "no label at all in 2 rows"),
        (from_cells(["a", "a"]), "words (1 different value in 2 rows)"),
        (from_array(np.array([1.0, 2.0])), "numbers of a type for fractions (2 different values in 2 rows)"),
        (from_array(np.array([1, -1, 2])), "whole numbers (2 different values in 3 rows)"),
        (from_array(np.array([True, False])), "true and false (2 different values in 2 rows)"),
        (from_array(np.ones((2, 3, 3))), "an array of shape (3, 3) a row"),
        (from_objects([["a"], ["b"]]), "a list a row"),
        (from_array(np.array([1, 0]), names=("x", "y")), None),
    ],
)
def test_what_a_kind_was_guessed_from(column, guess):
    assert guess_of(Label("c"), [column]) == guess


def table(**columns):
    return pandas.DataFrame(columns)


def loaded(frame, tasks, **options):
    """The report, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        report = describe(load(frame, tasks, "x", **options))
    assert [str(w.message) for w in caught] == list(report.warnings)
    assert all(w.category is DataWarning and w.filename == __file__ for w in caught)
    return report


def test_report_says_guesses_counts_and_warnings():
    frame = table(x=np.arange(66.0), price=[*map(int, PRICES), *range(6)], kind=["a", "b", None] * 22)
    report = loaded(frame, {"price": "price", "kind": "kind", "sure": Label("kind", classes=["a", "b"])})
    assert "price: class, guessed from whole numbers (66 different values in 66 rows)" in str(report)
    assert "kind: class, guessed from words (2 different values in 66 rows)" in str(report)
    assert "kind: a 22, b 22" in str(report) and "sure: a 22, b 22" in str(report)
    assert report.tasks["sure"].guessed is None and report.tasks["kind"].missing == 22
    assert len(report.warnings) == 1 and f"warning: {report.warnings[0]}" in str(report)


SPLITS = ["train"] * 4 + ["valid"] * 2 + ["test"] * 2


@pytest.mark.parametrize("split", ["train", "valid", "test", None])
@pytest.mark.parametrize("label", [Label("y"), Label("y", classes=["a", "b", "c"])])
def test_classes_that_training_lacks_are_said_in_every_split(split, label):
    frame = table(x=np.arange(8.0), y=list("aabb") + list("ac") + list("bc"), split=SPLITS)
    (warning,) = loaded(frame, {"t": label}, split=split).warnings
    assert "Task 't': 'c' has no example in training, and 1 in test, 1 in valid." in warning


def test_classes_that_training_lacks_by_fractions_and_in_lists():
    frame = table(x=np.arange(8.0), y=["a;b"] * 4 + ["a;c"] * 4, split=SPLITS)
    (warning,) = loaded(frame, {"t": Label("y", separator=";")}, split="valid").warnings
    assert "'c' has no example in training, and 2 in test, 2 in valid" in warning
    frame = table(x=np.arange(8.0), y=["once", *["often"] * 7])
    found = [
        loaded(frame, {"t": "y"}, split="test", fractions={"train": 0.5, "test": 0.5}, seed=seed).warnings
        for seed in range(8)
    ]
    assert {bool(w) for w in found} == {True, False}, "by where the one row goes"
    assert all("'once' has no example in training" in w[0] for w in found if w)


def test_splits_of_other_names_say_nothing():
    frame = table(x=np.arange(4.0), y=list("aabc"), fold=["1", "1", "2", "3"])
    assert loaded(frame, {"t": "y"}, split="1", split_column="fold").warnings == ()


@pytest.mark.parametrize(("split", "told"), [("train", True), (None, False), ("test", False)])
def test_task_without_a_label_in_training_is_said(split, told):
    frame = table(x=np.arange(8.0), y=[np.nan] * 4 + [0.5] * 4, split=SPLITS)
    said = loaded(frame, {"t": "y"}, split=split).warnings
    assert [s for s in said if "has no label in the 4 examples of split 'train'" in s] == list(said)
    assert bool(said) == told
    nothing = loaded(table(x=np.arange(2.0), y=[None, None]), {"t": "y"}).warnings
    assert nothing == ("Task 't' has no label in the 2 examples of the source.",)


def test_equal_inputs_with_different_labels_are_noted():
    frame = table(x=[1.0, 2.0, 1.0, 2.0, 3.0], z=["a", "b", "a", "b", "c"], y=["p", "q", "q", "q", None])
    frame["size"] = [0.5, 1.5, 2.5, 3.5, 4.5]
    (note,) = describe(load(frame, {"t": "y", "s": "size"}, ["x", "z"])).notes
    assert note == (
        "task 't': 2 examples have the inputs of another and a different label, "
        "first row 1 of the data frame and row 3 of the data frame"
    )
    texts = table(words=[["a", "b"], ["a"], ["a", "b"]], y=[["x"], ["x"], ["y"]])
    assert "2 examples" in describe(load(texts, {"t": "y"}, "words")).notes[0]


def test_numbers_that_come_as_words_are_said_of_inputs():
    frame = table(x=["1.5", "2", "3,5", "N/A", "7"], y=["a", "b"] * 2 + ["a"])
    (warning,) = loaded(frame, {"t": "y"}).warnings
    assert "Input column 'x' of the data frame comes as words" in warning and "'3,5', 'N/A'" in warning
    assert loaded(table(x=["cook", "?", "smith"], y=list("aba")), {"t": "y"}).warnings == ()
