"""Runs made by hand for tests of the report: everything that a page can show, and nothing that it can."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from mtlkeras._app.checks import Finding, RunFacts, TaskFacts
from mtlkeras._app.report.answers import Panel
from mtlkeras._app.report.evidence import Attention, Numbers, RunEvidence, Size, TaskEvidence
from mtlkeras.analysis import LabelAssociation, WorstErrors, calibration, confusion

EVIL = "<script>alert('a & b')</script>"
CONFIG = {
    "recipe": "made",
    "about": f"Made by hand, {EVIL}.",
    "status": "finished",
    "expected": "nothing",
    "monitor": "val_loss",
    "epochs": 3,
    "epochs_done": 3,
    "best_epoch": 2,
    "batch_size": 8,
    "seed": 0,
    "seconds": 12.0,
    "settings": {"width": 4, "name": EVIL},
    "versions": {"keras": "3"},
    "tasks": [EVIL, "size"],
}
HISTORY = {
    "loss": [3.0, 2.0, 1.5],
    "val_loss": [3.0, 2.5, 2.6],
    f"{EVIL}_loss": [1.0, 0.5, 0.25],
    f"val_{EVIL}_loss": [1.0, 0.75, 0.8],
    f"{EVIL}_accuracy": [0.5, 0.625, 0.75],
    f"val_{EVIL}_accuracy": [0.5, 0.55, 0.6],
    f"{EVIL}_weight": [1.0, 1.25, 1.5],
    "size_loss": [2.0, 1.5, 1.25],
    "size_mae": [20.0, 15.5, 12.25],
    "size_weight": [1.0, 0.75, 0.5],
    f"{EVIL}_size_cosine": [0.1, -0.2, -0.3],
}
METRICS = {
    split: {f"{EVIL}_accuracy": 0.6, f"{EVIL}_loss": 0.8, "size_mae": 12.3456789, "loss": 2.5}
    for split in ("valid", "test")
}
LABELS, ANSWERS = np.array([0, 1, 1, 1, 2, 0]), np.array([0, 1, 2, 1, 2, 1])
NAMES = ("cat", EVIL, "$5_x$ 猫")


def _kind() -> TaskEvidence:
    tokens = np.array([[b"one", EVIL.encode(), b""]], object)
    worst = WorstErrors(EVIL, np.array([4]), np.array([2.5]), (("cat", EVIL),), (("cat", "cat"),), tokens)
    rows = np.full((6, 3), 0.2)
    rows[np.arange(6), ANSWERS] = 0.6
    return TaskEvidence(
        "CRFTagging",
        "accuracy",
        True,
        LABELS,
        ANSWERS,
        {EVIL: confusion(ANSWERS, LABELS, NAMES)},
        calibration(rows, LABELS),
        worst=worst,
        transitions=(NAMES, np.arange(9.0).reshape(3, 3) - 4),
    )


def _size() -> TaskEvidence:
    labels, answers = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    pictures = np.arange(2 * 4 * 4 * 3, dtype="float32").reshape(2, 4, 4, 3)
    worst = WorstErrors("size", np.array([2, 0]), np.array([1.0, 0.5]), (4.0, 1.0), (3.0, 1.5), pictures)
    return TaskEvidence(
        "Regression", "mae", False, labels, answers, numbers={"size": Numbers(labels, answers)}, worst=worst
    )


def full_run(name: str = "made-1", **changes) -> RunEvidence:
    """Returns a run that fills every section but that of a search."""
    config = {**CONFIG, **changes}
    matrix = np.array([[1.0, 0.25], [0.25, 1.0]])
    measures = np.full((2, 2), "nmi", object)
    association = LabelAssociation(
        (EVIL, "size"), matrix, "Association", (0.0, 1.0), (EVIL, "size"), measures, np.full((2, 2), 6)
    )
    facts = RunFacts(
        {
            EVIL: TaskFacts("accuracy", True, classes=NAMES, gradient_shares=[0.75, 0.625, 0.5]),
            "size": TaskFacts("mae", False, gradient_shares=[0.25, 0.375, 0.5]),
        },
        cosines={(EVIL, "size"): HISTORY[f"{EVIL}_size_cosine"]},
    )
    truth = np.zeros((2, 4, 4))
    truth[0, 0] = np.nan
    return RunEvidence(
        name,
        config,
        HISTORY,
        METRICS,
        {EVIL: _kind(), "size": _size()},
        facts,
        findings=[Finding("MTL001", "Too bad", EVIL, f"0.1 of {EVIL}.", "Do `this` & that.")],
        looked_at="all 6 examples of the test split",
        size=Size(1234, 1000, 5678, 90_000, {1: 1.5, 16: 3.0}),
        association=association,
        gates=[(np.array([[0.25, 0.75], [0.5, 0.5]]), [f"{EVIL}_gate", "size_gate"], "expert")],
        attention=[
            Attention("pool", np.array([[0.1, 0.9], [0.5, 0.5]]), [["a", EVIL], ["b"]]),
            Attention("self", np.eye(2), [["a", EVIL]]),
        ],
        pictures=np.linspace(0, 1, 96).reshape(2, 4, 4, 3),
        panels=[Panel(EVIL, truth, np.zeros((2, 4, 4), int), {"cmap": "tab10", "vmin": 0, "vmax": 9})],
        digest="abc",
    )


def bare_run() -> RunEvidence:
    """Returns a run of which nothing is known but what it logged."""
    tasks = {"size": TaskEvidence("Regression", "mae", False)}
    config = {**CONFIG, "about": "Bare.", "tasks": ["size"], "settings": {}, "status": "interrupted"}
    history = {"size_loss": [1.0], "loss": [1.0]}
    return RunEvidence("bare-1", config, history, {}, tasks, RunFacts({}))


def search_run() -> RunEvidence:
    """Returns a search of four trials, one of which failed."""
    names = ("trial", "status", "values", "score", "metrics", "failure")
    scores = ((1.0, 2.0), (0.5, 1.0), (0.9, 1.1))  # In training, and on the validation split.
    metrics = [
        {"size_mae": train, "val_size_mae": v, "parameters": 10.0 * v, "seconds": 1.0} for train, v in scores
    ]
    rows = [
        ("0", "COMPLETED", {"width": 4}, 2.0, metrics[0], None),
        ("1", "COMPLETED", {"width": 8}, 1.0, metrics[1], None),
        ("2", "FAILED", {"width": 16}, None, {}, EVIL),
        ("3", "COMPLETED", {"width": 6}, 1.1, metrics[2], None),
    ]
    trials = [SimpleNamespace(**dict(zip(names, row, strict=True))) for row in rows]
    config = {
        **CONFIG,
        "task_metrics": {"val_size_mae": "min"},
        "monitor": "val_size_mae",
        "best_trial": "1",
        "command": "mtlkeras train made --set width=8",
    }
    tasks = {"size": TaskEvidence("Regression", "mae", False)}
    metrics_of = {"test": {"size_mae": 1.0}}
    return RunEvidence("made-search-1", config, {}, metrics_of, tasks, RunFacts({}), trials=trials)
