"""Readers of sentences with tags: CoNLL, CoNLL-U, JSON lines and tables; batches of several lengths."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from mtlkeras.data import Label, TextEncoder, describe, load, to_arrays

CONLLU = """# sent_id = email-a-1
# text = Hi Ann
1-2\tHiAnn\t_\t_\t_\t_\t_\t_\t_\t_
1\tHi\thi\tINTJ\tUH\t_\t0\troot\t_\t_
2\tAnn\tAnn\tPROPN\tNNP\tNumber=Sing\t1\tvocative\t_\t_
2.1\tgone\t_\tX\t_\t_\t_\t_\t_\t_

# sent_id = blog-b-7
1\t#\t#\tSYM\tNN\t_\t0\troot\t_\t_
"""


@pytest.fixture
def jsonl(tmp_path):
    path = tmp_path / "part.jsonl.gz"
    rows = [
        {"tokens": ["play", "jazz"], "slots": ["O", "B-x"], "intent": "music"},
        {"tokens": ["rain"], "slots": ["O"], "intent": "weather"},
        {"tokens": ["a", "b", "c"], "slots": ["B-x", "I-x", "O"], "intent": "music"},
    ]
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    return path


TASKS = {"intent": "intent", "slots": Label("slots", kind="tags", classes=("O", "B-x", "I-x"))}


def test_json_lines_of_tokens_and_tags(jsonl):
    data = load(jsonl, TASKS, "tokens", batch_size=2, shuffle=False)
    x, y = next(iter(data))
    assert x.numpy().tolist() == [[b"play", b"jazz"], [b"rain", b""]]
    np.testing.assert_array_equal(y["slots"], [[0, 1], [0, -1]])
    report = describe(data).tasks["slots"]
    assert report.kind == "tags" and report.counts == {"O": 3, "B-x": 2, "I-x": 1}
    x, y = to_arrays(data)
    assert x.shape == (3, 3) and y["slots"].tolist() == [[0, 1, -1], [0, -1, -1], [1, 2, 0]]


def test_ids_of_an_encoder_and_lengths_of_a_multiple(jsonl):
    encoder = TextEncoder(("rain", "play"), casing=True)
    data = load(jsonl, TASKS, "tokens", vocabularies={"tokens": encoder}, shuffle=False, pad_multiple=4)
    x, y = next(iter(data))
    assert x.shape == (3, 4, 2) and y["slots"].shape == (3, 4)
    np.testing.assert_array_equal(x[:2, :2], [[[3, 1], [1, 1]], [[2, 1], [0, 0]]])


def test_conllu(tmp_path):
    path = tmp_path / "part.conllu"
    path.write_text(CONLLU)
    data = load(
        path, {"upos": "upos", "genre": Label("sent_id", pattern="^([a-z]+)-")}, "form", shuffle=False
    )
    x, y = to_arrays(data)
    assert x.tolist() == [[b"Hi", b"Ann"], [b"#", b""]]
    names = describe(data).tasks["upos"].classes
    assert [[names[i] for i in row if i >= 0] for row in y["upos"]] == [["INTJ", "PROPN"], ["SYM"]]
    assert [describe(data).tasks["genre"].classes[i] for i in y["genre"]] == ["email", "blog"]


def test_columns_of_any_file(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("-DOCSTART- O\n\nEU B-ORG\nrejects O\n\n\nGerman B-MISC\n")
    data = load(path, {"ner": "ner"}, "word", columns=("word", "ner"), shuffle=False)
    x, y = to_arrays(data)
    assert x.tolist() == [[b"EU", b"rejects"], [b"German", b""]]
    assert describe(data).tasks["ner"].classes == ("B-MISC", "B-ORG", "O")


def test_texts_of_a_table_are_split_as_asked(tmp_path):
    path = tmp_path / "part.tsv"
    path.write_text('text\tlabels\nsay "hi" , Ann\t0,2\nno\t1\n')
    labels = Label("labels", kind="multi", separator=",", classes={"a": [0], "b": [1], "c": [2]})
    data = load(path, {"y": labels}, "text", tokenize={"text": "punctuation"}, quotes=False, shuffle=False)
    x, y = to_arrays(data)
    assert x[0].tolist() == [b"say", b'"', b"hi", b'"', b",", b"Ann"]
    np.testing.assert_array_equal(y["y"], [[1, 0, 1], [0, 1, 0]])


def test_batches_of_like_length_hold_each_example_once():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 40, 500)
    rows = pd.DataFrame({"tokens": [[f"w{i}"] * n for i, n in enumerate(lengths)], "y": np.arange(500) % 2})
    data = load(rows, {"y": "y"}, "tokens", batch_size=16, shuffle=True, group_by_length=True, seed=3)
    seen, padding = [], 0
    for x, _ in data:
        seen += [row[0] for row in x.numpy().tolist()]
        padding += int((x == b"").numpy().sum())
    assert len(seen) == 500 == len(set(seen))
    assert padding < 0.1 * lengths.sum()
    again = [row[0] for x, _ in data for row in x.numpy().tolist()]
    assert sorted(again) == sorted(seen) and again != seen


def test_two_inputs_of_tokens_may_have_different_lengths():
    rows = pd.DataFrame({"a": [["x", "y"], ["z"]], "b": [["u"], ["v", "w"]], "y": [0, 1]})
    x, _ = to_arrays(load(rows, {"y": "y"}, ["a", "b"], shuffle=False))
    assert x["a"].shape == x["b"].shape == (2, 2)


def test_long_sentences_are_cut_with_their_tags_and_counted(jsonl):
    data = load(jsonl, TASKS, "tokens", max_length=2, truncate=True, shuffle=False)
    _, y = next(iter(data))
    np.testing.assert_array_equal(y["slots"], [[0, 1], [0, -1], [1, 2]])
    assert any("1 examples of more than 2 tokens" in note for note in describe(data).notes)


def write(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "name, text, arguments, message",
    [
        (
            "a.jsonl",
            '{"tokens": ["a", "b"], "slots": ["O"], "intent": "m"}\n',
            {},
            "row 1 .*input 'tokens' has 2 tokens, but task 'slots' has 1 tags",
        ),
        (
            "a.jsonl",
            '{"tokens": ["a"], "slots": ["B-y"], "intent": "m"}\n',
            {},
            "Task 'slots': the label 'B-y' .* Did you mean 'B-x'",
        ),
        ("a.jsonl", "", {}, "a.jsonl is empty; expected one JSON object a line"),
        ("a.jsonl", b'{"tokens": ["a"]}\n{"tokens": ["\xff"]}\n', {}, "line 2 is not UTF-8"),
        (
            "a.jsonl",
            '{"tokens": ["a", "b"], "slots": ["O", "O"], "intent": "m"}\n',
            {"max_length": 1},
            "has 2 tokens, and max_length= is 1 .* truncate=True",
        ),
        ("a.conll", "a O\n", {}, "a.conll needs columns="),
        (
            "a.conll",
            "a O\nb\n",
            {"columns": ("tokens", "slots")},
            "Line 2 of a.conll has 1 columns instead of 2",
        ),
        ("a.conll", "", {"columns": ("tokens", "slots")}, "a.conll is empty"),
        ("a.conll", "a O\n", {"columns": ("tokens", "tokens")}, "must name each column of a.conll once"),
        ("a.conll", "a O\n", {"columns": ("token", "slots")}, "Unknown .*'tokens'"),
    ],
)
def test_what_does_not_fit_is_told(name, text, arguments, message, tmp_path):
    path = write(tmp_path, name, text)
    tasks = TASKS if name.endswith("jsonl") else {"slots": TASKS["slots"]}
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load(path, tasks, "tokens", **arguments)
