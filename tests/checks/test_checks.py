"""Coded checks of runs: made runs in which each one fires, and in which none does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mtlkeras._app.checks import (
    CHECKS,
    SEVERITIES,
    RunFacts,
    SearchFacts,
    TaskFacts,
    known_checks,
    run_checks,
)

rng = np.random.default_rng(0)
CLASSES = ("ant", "bee", "cat")
TRAIN, TEST = np.arange(300) % 3, np.arange(90) % 3
NOISY = np.where(np.arange(90) % 10 == 0, (TEST + 1) % 3, TEST)
HISTORY = {
    "loss": [1.0, 0.6, 0.5, 0.45, 0.43],
    "val_loss": [0.8, 0.62, 0.55, 0.54, 0.535],
    "accuracy": [0.5, 0.8, 0.85, 0.87, 0.88],
    "val_accuracy": [0.7, 0.8, 0.83, 0.84, 0.85],
}
KIND = TaskFacts("accuracy", True, HISTORY, {"accuracy": 0.9}, CLASSES, TRAIN, TEST, NOISY)
NUMBERS = rng.normal(size=200)
SIZE = TaskFacts(
    "mae",
    False,
    {
        "loss": [1.0, 0.5, 0.4],
        "val_loss": [0.9, 0.5, 0.45],
        "mae": [0.8, 0.5, 0.4],
        "val_mae": [0.7, 0.5, 0.45],
    },
    {"mae": 0.4},
    None,
    np.where(np.arange(200) % 5 == 0, np.nan, NUMBERS),
    np.where(np.arange(200) % 7 == 0, np.nan, NUMBERS[::-1]),
    NUMBERS[::-1] + 0.3 * rng.normal(size=200),
)
YES = np.where(rng.random((200, 2)) < 0.2, -1, (rng.random((200, 2)) < 0.5).astype(int))
MARKS = TaskFacts("accuracy", True, HISTORY, {}, ("red", "blue"), YES, YES, np.maximum(YES, 0))
HEALTHY = RunFacts(
    {"kind": KIND, "size": SIZE, "marks": MARKS},
    cosines={("kind", "size"): [0.1, -0.1, 0.2, -0.05, 0.1], ("kind", "marks"): [-0.01] * 9},
    shared_examples=0,
    test_examples=90,
    search=SearchFacts({"rate": 1e-3, "width": 64, "dropout": 0.0, "trunk": "LSTM"}),
)


def of(**fields):
    """A run of one task, `kind` with other fields."""
    return RunFacts({"kind": replace(KIND, **fields)})


def with_history(**series):
    return of(history={**HISTORY, **series})


def found(facts):
    return {f.check for f in run_checks(facts)}


def one(facts, check):
    (finding,) = [f for f in run_checks(facts) if f.check == check]
    return finding


def shares(**by_task):
    return RunFacts({name: replace(KIND, gradient_shares=values) for name, values in by_task.items()})


def weighed(**by_task):
    return RunFacts({name: replace(KIND, weights=values) for name, values in by_task.items()})


def chose(best, **space):
    return RunFacts({}, search=SearchFacts({"it": best}, **{k: {"it": v} for k, v in space.items()}))


FIRING = {
    "validation loss rises": (with_history(val_loss=[0.8, 0.5, 0.5, 0.55, 0.56]), "MTL001", "epoch 2 of 5"),
    "better in training": (with_history(val_accuracy=[0.7, 0.75, 0.77, 0.78, 0.78]), "MTL001", "0.880"),
    "no better in training": (with_history(accuracy=[0.33] * 5, val_accuracy=[0.33] * 5), "MTL002", "0.3333"),
    "worse than the median": (
        RunFacts({"size": replace(SIZE, history={"mae": [9.0, 8.0], "val_mae": [9.0, 8.0]})}),
        "MTL002",
        "in training is 8",
    ),
    "stopped too early": (with_history(val_loss=[0.8, 0.7, 0.6, 0.56, 0.53]), "MTL002", "0.56 to 0.53"),
    "small gradient": (shares(a=[0.6, 0.7], b=[0.39, 0.28], c=[0.01, 0.02]), "MTL003", "1.5%"),
    "gradient of nothing": (shares(a=[1.0, 1.0], b=[0.0, 0.0]), "MTL003", "0.0%"),
    "weight of zero": (weighed(a=[1.0] * 5, b=[0.0] * 5), "MTL003", "Its weight is 0"),
    "small weight": (weighed(a=[0.99] * 5, b=[0.01] * 5), "MTL003", "1.0%"),
    "conflict": (RunFacts({}, {("a", "b"): [-0.3, -0.2, -0.4, -0.1]}), "MTL004", "in 4 of 4 looks"),
    "mostly conflict": (RunFacts({}, {("a", "b"): [-0.3] * 13 + [0.5] * 3}), "MTL004", "13 of 16"),
    "rare class": (of(train_labels=np.repeat([0, 1, 2], [150, 146, 4])), "MTL005", "'cat' 1.3%"),
    "rare yes": (
        RunFacts({"marks": replace(MARKS, train_labels=np.c_[np.arange(200) < 3, np.arange(200) < 99])}),
        "MTL005",
        "'red' 1.5%",
    ),
    "unseen class": (of(train_labels=TRAIN[TRAIN < 2]), "MTL006", "30 test labels: 'cat'"),
    "unknown class in test": (of(test_labels=np.where(TEST > 1, -(2**31), TEST)), "MTL006", "does not know"),
    "unseen yes": (
        RunFacts({"marks": replace(MARKS, train_labels=np.where([True, False], np.minimum(YES, 0), YES))}),
        "MTL006",
        "'red' yes",
    ),
    "no labels": (of(train_labels=np.full(300, -1)), "MTL007", "None of 300"),
    "no examples": (of(train_labels=np.zeros(0, int)), "MTL007", "None of 0"),
    "only NaN": (RunFacts({"size": replace(SIZE, train_labels=np.full(9, np.nan))}), "MTL007", "None of 9"),
    "no test labels": (of(test_labels=np.full(90, -1)), "MTL007", "test split"),
    "class without labels": (of(classes=(*CLASSES, "dog")), "MTL007", "'dog'"),
    "unknown label": (
        RunFacts({"marks": replace(MARKS, train_labels=np.where([True, False], -1, YES))}),
        "MTL007",
        "any label: 'red'.",
    ),
    "no test examples": (
        RunFacts({"marks": replace(MARKS, test_labels=np.zeros(0), test_answers=np.zeros(0))}),
        "MTL007",
        "None of 0 labels of the test split",
    ),
    "column of NaN": (
        RunFacts(
            {"size": replace(SIZE, train_labels=np.c_[NUMBERS, np.full(200, np.nan)], test_labels=None)}
        ),
        "MTL007",
        "number 1",
    ),
    "constant answer": (of(test_answers=np.zeros(90, int)), "MTL008", "33.3%"),
    "constant yes/no": (
        RunFacts({"marks": replace(MARKS, test_answers=np.zeros((200, 2), int))}),
        "MTL008",
        "of 2 yes/no labels",
    ),
    "constant number": (
        RunFacts({"size": replace(SIZE, test_answers=np.full(200, 9.0))}),
        "MTL008",
        "median",
    ),
    "largest choice": (chose(64, choices=[16, 64, 32]), "MTL009", "no value above 64"),
    "least choice": (chose(np.int64(16), choices=[16, 64, 32]), "MTL009", "no value below 16"),
    "end of a range": (chose(0.4999, bounds=(0.0, 0.5)), "MTL009", "ended at 0.5"),
    "start of a range of factors": (chose(1.05e-5, bounds=(1e-5, 1e-1)), "MTL009", "began at 1e-05"),
    "shared examples": (RunFacts({}, shared_examples=3, test_examples=100), "MTL010", "3 of 100 (3.0%)"),
    "shared, of unknown number": (RunFacts({}, shared_examples=3), "MTL010", ": 3."),
    "NaN": (with_history(loss=[1.0, np.nan, np.nan, 0.3, 0.2]), "MTL011", "2 of 5 epochs, first in epoch 2"),
    "infinite in validation": (of(history={"val_loss": [np.inf]}), "MTL011", "validation loss"),
    "null of JSON": (of(history={"loss": [None, 1.0]}), "MTL011", "epoch 1"),
    "ran away": (of(history={"loss": [1.0, 0.4, 1.2]}), "MTL011", "fell to 0.4 and ends at 1.2"),
}


@pytest.mark.parametrize("case", FIRING)
def test_fires(case):
    facts, check, evidence = FIRING[case]
    finding = one(facts, check)
    assert evidence in finding.evidence
    assert finding.title == CHECKS[check].title and finding.severity in SEVERITIES
    assert finding.evidence.endswith(".") and finding.advice.endswith(".")


def test_every_check_fires_somewhere():
    assert {check for _, check, _ in FIRING.values()} == set(CHECKS)


QUIET = {
    "healthy": HEALTHY,
    "nothing known": RunFacts({"a": TaskFacts("accuracy", True), "b": TaskFacts("mae", False)}),
    "no tasks": RunFacts({}),
    "one epoch": of(history={key: values[:1] for key, values in HISTORY.items()}),
    "rise below a tenth": with_history(val_loss=[0.8, 0.6, 0.5, 0.52, 0.549]),
    "rise of both losses": with_history(loss=[1.0, 0.5, 0.4, 0.5, 0.6], val_loss=[1.0, 0.5, 0.4, 0.5, 0.6]),
    "rise from next to zero": with_history(val_loss=[1.0, 0.1, 1e-6, 1e-5, 1e-4]),
    "scores a little apart": with_history(val_accuracy=[0.7, 0.75, 0.77, 0.78, 0.79]),
    "errors apart": of(metric="mae", higher_is_better=False),
    "no validation": of(history={"loss": HISTORY["loss"], "accuracy": HISTORY["accuracy"]}),
    "task done early": shares(a=[0.5, 0.5, 1.0], b=[0.5, 0.5, 0.0]),
    "a third of an even share": shares(a=[0.95], b=[0.05]),
    "one task alone": shares(a=[0.0]),
    "no gradient at all": shares(a=[0.0], b=[0.0]),
    "looks of NaN": shares(a=[np.nan], b=[np.nan]),
    "gradient made up for by its weight": RunFacts(
        {
            "a": replace(KIND, gradient_shares=[0.99], weights=[0.02]),
            "b": replace(KIND, gradient_shares=[0.01], weights=[1.98]),
        }
    ),
    "small weight of a large loss": RunFacts(
        {
            "a": replace(KIND, weights=[1.0] * 5),
            "b": replace(KIND, weights=[0.01] * 5, history={"loss": [90.0] * 5}),
        }
    ),
    "three looks": RunFacts({}, {("a", "b"): [-0.9, -0.9, -0.9]}),
    "no looks": RunFacts({}, {("a", "b"): [], ("b", "c"): [np.nan]}),
    "cosines around zero": RunFacts({}, {("a", "b"): [-0.3] * 12 + [0.3] * 8}),
    "a tenth of an even share": of(train_labels=np.repeat([0, 1, 2], [145, 145, 10])),
    "unknown labels": of(train_labels=np.where(np.arange(300) % 4 == 0, -1, TRAIN)),
    "labels as floats with NaN": of(train_labels=np.where(np.arange(300) % 4 == 0, np.nan, TRAIN)),
    "no test examples": of(test_labels=None, test_answers=None),
    "one class in test": of(test_labels=np.zeros(9, int), test_answers=np.zeros(9, int)),
    "other steps without labels": of(
        test_labels=np.where(np.arange(90) < 60, TEST, -1),
        test_answers=np.where(np.arange(90) < 60, NOISY, 7),
    ),
    "two choices": chose(64, choices=[32, 64]),
    "choice in the middle": chose(32, choices=[16, 32, 64]),
    "choices of words": chose("c", choices=["a", "b", "c"]),
    "choices of both": chose(True, choices=[True, False, None]),
    "no penalty": chose(0.0, choices=[0.0, 1e-5, 1e-4]),
    "no dropout": chose(0.0, bounds=(0.0, 0.5)),
    "small value in a range of factors": chose(1e-4, bounds=(1e-5, 1e-1)),
    "range of one value": chose(1.0, bounds=(1.0, 1.0)),
    "nobody compared": RunFacts({}, shared_examples=None, test_examples=9),
    "loss of zero": of(history={"loss": [0.0, 0.0, 0.0], "val_loss": [0.0, 0.0, 0.0]}),
    "negative losses": of(history={"loss": [-1.0, -2.0, -2.5], "val_loss": [-1.0, -2.0, -2.2]}),
    "NaN in a metric": with_history(val_accuracy=[np.nan, 0.8, 0.83, 0.84, 0.85]),
}


@pytest.mark.parametrize("case", QUIET)
def test_finds_nothing(case):
    assert run_checks(QUIET[case]) == []


def test_only_too_sure_is_a_note():
    rising = with_history(val_loss=[0.8, 0.5, 0.5, 0.55, 0.56], val_accuracy=[0.7, 0.8, 0.8, 0.81, 0.81])
    assert one(rising, "MTL001").severity == "note"
    falling = with_history(val_loss=[0.8, 0.5, 0.5, 0.55, 0.56], val_accuracy=[0.7, 0.9, 0.8, 0.8, 0.8])
    assert one(falling, "MTL001").severity == "warning"


def test_one_class_of_nearly_all_is_a_warning():
    assert one(of(train_labels=np.repeat([0, 1, 2], [290, 5, 5])), "MTL005").severity == "warning"
    assert one(of(train_labels=np.repeat([0, 1, 2], [150, 145, 5])), "MTL005").severity == "note"


def test_better_by_chance_only_or_by_recall_only_is_a_note():
    labels, answers = np.arange(20) % 3, np.zeros(20, int)
    answers[1] = 1  # Right once more than "ant" throughout.
    assert one(of(test_labels=labels, test_answers=answers), "MTL008").severity == "note"
    labels = np.repeat([0, 1, 2], [80, 10, 10])
    answers = np.where(np.arange(100) < 50, 0, np.where(np.arange(100) < 90, 1, 2))
    found = one(of(test_labels=labels, test_answers=answers, train_labels=labels), "MTL008")
    assert found.severity == "note" and "70.0% right" in found.evidence and "mean recall" in found.evidence


def test_constant_of_numbers_against_brute_force():
    answers, labels = SIZE.test_answers * 0 + 5.0, SIZE.test_labels
    evidence = one(RunFacts({"size": replace(SIZE, test_answers=answers)}), "MTL008").evidence
    there, train = ~np.isnan(labels), SIZE.train_labels[~np.isnan(SIZE.train_labels)]
    squared = np.mean((labels[there] - train.mean()) ** 2)
    absolute = np.mean(np.abs(labels[there] - np.median(train)))
    assert f"to {squared:.4g} of the training mean" in evidence and f"to {absolute:.4g} of its" in evidence


def test_warnings_come_first_then_ids_then_tasks():
    facts = replace(
        FIRING["stopped too early"][0],
        tasks={
            "b": replace(KIND, train_labels=np.full(9, -1)),
            "a": replace(KIND, history={"loss": [np.nan]}, train_labels=np.full(9, -1)),
            **FIRING["stopped too early"][0].tasks,
        },
    )
    order = [(f.severity, f.check, f.task) for f in run_checks(facts)]
    assert order == [
        ("warning", "MTL007", "a"),
        ("warning", "MTL007", "b"),
        ("warning", "MTL011", "a"),
        ("note", "MTL002", "kind"),
    ]


def test_unknown_check_gets_a_near_match():
    assert known_checks(["MTL003", "MTL001"]) == ["MTL003", "MTL001"]
    with pytest.raises(ValueError, match="Unknown check 'MTL03' in --fail-on. Did you mean 'MTL003'?"):
        known_checks(["MTL001", "MTL03"])
