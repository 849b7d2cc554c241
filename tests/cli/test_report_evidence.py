"""What a report is made of: examples of a split, a pass over training, answers, facts for the checks."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras import analysis, heads
from mtlkeras._app.report.evidence import gather
from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.evidence.facts import cosines_in, facts_of, history_by_task, search_facts
from mtlkeras._app.report.evidence.labels import flat_labels, thinned, without_padding
from mtlkeras._app.report.evidence.run import TaskEvidence
from mtlkeras._app.report.evidence.samples import some_examples
from mtlkeras._app.report.evidence.training import digests_of, training_split


class _Model:
    """As much of a model as reading its data takes."""

    def __init__(self, **by_task):
        self.heads = by_task
        self.input = keras.KerasTensor((None, None), "string")

    def labels_by_task(self, y):
        return y


def _batches(count, rows=4, rare=()):
    """Returns batches of numbered examples, of which some have labels of the task `b` in place of `a`."""
    found = []
    for number in range(count):
        places = np.arange(number * rows, (number + 1) * rows)
        gaps = np.full(rows, -1)
        labels = {"a": gaps, "b": places % 2} if number in rare else {"a": places % 3, "b": gaps}
        found.append((places[:, None].astype("float32"), labels))
    return found


def test_all_examples_are_taken_where_they_are_few():
    model = _Model(a=heads.Classification(3), b=heads.Classification(2))
    sample = some_examples(model, _batches(5), most=50)
    assert sample.whole and sample.examples == 20
    np.testing.assert_array_equal(sample.x[:, 0], np.arange(20))
    np.testing.assert_array_equal(sample.y["a"], np.arange(20) % 3)


@pytest.mark.parametrize("batches", [30, 64, 101])
def test_some_of_many_are_at_equal_distances(batches):
    model = _Model(a=heads.Classification(3), b=heads.Classification(2))
    sample = some_examples(model, _batches(batches), most=40)
    assert not sample.whole and sample.examples == 40
    np.testing.assert_array_equal(sample.x[:, 0], sample.rows)
    np.testing.assert_array_equal(sample.y["a"], sample.rows % 3)
    assert sample.rows[0] < 4 and sample.rows[-1] > 4 * batches * 0.85
    assert np.diff(sample.rows).max() <= 8 * 4 * batches / 40


def test_a_task_with_few_labels_is_looked_at_too():
    model = _Model(a=heads.Classification(3), b=heads.Classification(2))
    sample = some_examples(model, _batches(90, rare=(7, 50)), most=80)
    assert (sample.y["b"] >= 0).sum() == 8
    np.testing.assert_array_equal(sample.y["b"][sample.y["b"] >= 0], sample.rows[sample.y["b"] >= 0] % 2)


def test_large_examples_are_fewer_and_at_least_one():
    model = _Model(a=heads.Classification(3), b=heads.Classification(2))
    assert some_examples(model, _batches(9), most=50, most_values=36).examples == 12
    assert some_examples(model, _batches(9), most=50, most_values=0).examples == 1
    with pytest.raises(ValueError, match="no examples"):
        some_examples(model, [])


def test_batches_of_several_lengths_are_padded():
    model = _Model(tags=heads.Tagging(("a", "b", "c")))
    words = [np.array([[b"a", b"b"]], object), np.array([[b"c", b"d", b"e"]], object)]
    labels = [{"tags": np.array([[0, 1]])}, {"tags": np.array([[2, 1, 0]])}]
    sample = some_examples(model, zip(words, labels, strict=True))
    assert sample.x.tolist() == [[b"a", b"b", b""], [b"c", b"d", b"e"]]
    assert sample.y["tags"].tolist() == [[0, 1, -1], [2, 1, 0]]
    short, long = (digests_of(model, a) for a in (words[0], sample.x))
    assert short[0] == long[0] != long[1]  # Whatever it is padded to.


def test_training_is_passed_over_whole_or_not_at_all():
    model = _Model(a=heads.Classification(3), b=heads.Classification(2))
    found = training_split(model, _batches(6, rare=(2,)))
    assert found.examples == 24 and len(found.digests) == 24
    assert np.bincount(found.labels["b"] + 1).tolist() == [20, 2, 2]
    assert training_split(model, _batches(6), most_values=20) is None


def test_thinned_labels_keep_every_class():
    labels = np.zeros(10_000, int)
    labels[4321] = 7
    kept = thinned(labels, 100)
    assert len(kept) == 101 and set(kept) == {0, 7}
    assert thinned(labels[:50], 100) is not None and len(thinned(labels[:50], 100)) == 50


def test_labels_in_a_row():
    rows = np.array([[0.1, 0.9], [np.nan, np.nan]], "float32")
    assert flat_labels(heads.Classification(2), rows).tolist() == [1, -1]
    assert flat_labels(heads.MultiLabel(2), np.array([[1, -1], [0, 1]])).tolist() == [[1, -1], [0, 1]]
    assert flat_labels(heads.Tagging(("a", "b", "c")), np.array([[2, -3], [0, -1]])).tolist() == [
        2,
        -1,
        0,
        -1,
    ]
    known = without_padding(np.array([2, -1, 0]), np.array([5, 6, 7]))
    assert [part.tolist() for part in known] == [[2, 0], [5, 7]]


def test_logs_are_sorted_by_task():
    logs = {
        "a_loss": [1.0],
        "val_a_loss": [2.0],
        "a_b_weight": [3.0],
        "val_loss": [4.0],
        "a_a_b_cosine": [0.5],
    }
    found = history_by_task(logs, ["a", "a_b"])
    assert found["a_b"] == {"weight": [3.0]} and found[""] == {"val_loss": [4.0]}
    assert {"loss", "val_loss"} <= set(found["a"])
    assert cosines_in(logs, ["a", "a_b"]) == {("a", "a_b"): [0.5]}


def test_a_task_may_begin_with_val():
    logs = {"val_a_loss": [1.0], "val_val_a_loss": [2.0], "loss": [3.0], "val_loss": [4.0], "val_only": [5.0]}
    found = history_by_task(logs, ["val_a"])
    assert found == {
        "val_a": {"loss": [1.0], "val_loss": [2.0]},
        "": {"loss": [3.0], "val_loss": [4.0], "val_only": [5.0]},
    }


def test_a_search_tells_what_it_chose_from():
    space = [
        {"class_name": "Choice", "config": {"name": "width", "values": [4, 8]}},
        {"class_name": "Float", "config": {"name": "rate", "min_value": 0.1, "max_value": 1.0}},
        {"class_name": "Fixed", "config": {"name": "epochs", "value": 3}},
    ]
    config = {"best_trial": "1", "fingerprint": {"space": space}}
    trials = [SimpleNamespace(trial=str(i), values={"width": w, "rate": 0.5}) for i, w in enumerate((4, 8))]
    found = search_facts(config, trials)
    assert found.best == {"width": 8, "rate": 0.5} and found.choices == {"width": [4, 8]}
    assert found.bounds == {"rate": (0.1, 1.0)} and search_facts({}, []) is None


def test_what_fails_is_told():
    attempt = Attempts()
    assert attempt("one", int, "x") is None and attempt("two", int, "2") == 2
    assert attempt.failures == ["one: ValueError: invalid literal for int() with base 10: 'x'"]
    with pytest.raises(KeyboardInterrupt):
        attempt("three", _interrupted)


def _interrupted():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def gathered():
    """A small model of a class, several labels and a number, its data, and what a report tells of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4)).astype("float32")
    y = {
        "kind": np.digitize(x[:, 0], (-0.5, 0.5)),
        "marks": np.where(rng.random((40, 2)) < 0.2, -1, x[:, :2] > 0).astype("int32"),
        "size": np.where(rng.random(40) < 0.2, np.nan, x.sum(1)).astype("float32"),
    }
    tasks = {
        "kind": heads.Classification(3, class_names=("low", "mid", "high")),
        "marks": heads.MultiLabel(2, label_names=("red", "blue")),
        "size": heads.Regression(),
    }
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=8), tasks)
    model.compile("adam", run_eagerly=True)
    half = [(x[i : i + 10], {t: v[i : i + 10] for t, v in y.items()}) for i in (0, 10)]
    rest = [(x[i : i + 10], {t: v[i : i + 10] for t, v in y.items()}) for i in (10, 20, 30)]
    found = gather("r", {}, {}, {"test": {"kind_accuracy": 0.5}}, model, {"train": rest, "test": half})
    return model, x[:20], {task: labels[:20] for task, labels in y.items()}, found


def test_a_run_is_looked_at(gathered):
    model, x, y, found = gathered
    assert found.failures == [] and found.looked_at == "all 20 examples of the test split"
    said = model.predict_labels(x, verbose=0)
    kind, marks, size = (found.tasks[task] for task in ("kind", "marks", "size"))
    names = np.array(["low", "mid", "high"])
    assert kind.confusions["kind"].accuracy == pytest.approx((said["kind"] == names[y["kind"]]).mean())
    assert list(marks.confusions) == ["marks/red", "marks/blue"]
    assert marks.confusions["marks/red"].counts.sum() == (y["marks"][:, 0] >= 0).sum()
    known = ~np.isnan(y["size"])
    np.testing.assert_allclose(size.numbers["size"].labels, y["size"][known])
    np.testing.assert_allclose(size.numbers["size"].answers, said["size"].ravel()[known], rtol=1e-5)
    assert (kind.metric, kind.higher_is_better, size.metric, size.higher_is_better) == (
        "accuracy", True, "mae", False,
    )  # fmt: skip
    assert found.size.weights == model.count_params() and set(found.size.milliseconds) == {1}
    assert found.association["kind", "size"] == analysis.label_association(y, model)["kind", "size"]
    assert not found.attention and not found.gates


def test_the_checks_get_its_facts(gathered):
    _, _, y, found = gathered
    assert found.facts.shared_examples == 10 and found.facts.test_examples == 20
    kind, marks, size = (found.facts.tasks[task] for task in ("kind", "marks", "size"))
    assert (
        kind.classes == ["low", "mid", "high"] and marks.classes == ["red", "blue"] and size.classes is None
    )
    assert kind.scores == {"accuracy": 0.5} and len(kind.train_labels) == 30
    np.testing.assert_array_equal(kind.test_labels, y["kind"])
    np.testing.assert_array_equal(marks.test_labels, y["marks"])
    np.testing.assert_array_equal(size.test_labels, y["size"])
    assert kind.test_answers.shape == (20,) and marks.test_answers.shape == (20, 2)


def test_a_part_that_fails_leaves_the_rest(gathered, monkeypatch):
    model, x, y, _ = gathered
    monkeypatch.setattr(sys.modules[gather.__module__], "_association", lambda *args: 1 / 0)
    found = gather("r", {}, {}, {}, model, {"test": [(x, y)]})
    assert found.failures == ["association of labels: ZeroDivisionError: division by zero"]
    assert found.association is None and found.tasks["kind"].confusions
    assert found.facts.shared_examples is None


@pytest.mark.parametrize(
    ("head", "compared"),
    [
        (heads.Regression(), True),
        (heads.Regression(loss_kind="quantile"), True),
        (heads.Regression(loss_kind="quantile", quantile=0.9), False),
        (heads.Classification(2), True),
    ],
)
def test_quantiles_are_not_held_against_the_labels(head, compared):
    values = np.zeros(3)
    task = TaskEvidence("Head", "loss", False, labels=values, answers=values)
    found = facts_of(_Model(a=head), {"a": task}, {}, {}, None, None, None).tasks["a"]
    assert found.test_labels is values and (found.test_answers is values) == compared
