"""Tables and pictures of results."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.report import markdown, task_table
from mtlkeras._app.report.tables import split_name
from tests.support import TinyTrunk

RESULTS = {
    "valid": {"loss": 3.0, "a_loss": 1.0, "a_b_loss": 2.0, "a_accuracy": 0.5, "a_b_mae": 12345.678},
    "test": {"loss": 0.0, "a_loss": 1e-5, "a_b_loss": 2.5, "a_accuracy": 0.25, "a_b_mae": float("nan")},
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a_b_loss", ("a_b", "loss")), ("a_accuracy", ("a", "accuracy")), ("loss", ("", "loss"))],
)
def test_longest_task_owns_a_name(name, expected):
    assert split_name(name, ["a", "a_b"]) == expected


def test_table_has_a_row_per_task_and_split():
    header, rows = task_table(RESULTS, ["a", "a_b"])
    assert header == ["task", "split", "loss", "accuracy", "mae"]
    assert rows == [
        ["a", "valid", "1.0000", "0.5000", ""],
        ["a", "test", "1.000e-05", "0.2500", ""],
        ["a_b", "valid", "2.0000", "", "1.235e+04"],
        ["a_b", "test", "2.5000", "", "nan"],
        ["all tasks", "valid", "3.0000", "", ""],
        ["all tasks", "test", "0.0000", "", ""],
    ]


def test_markdown_is_aligned():
    lines = markdown((["task", "split", "loss"], [["a", "test", "12.5"]])).splitlines()
    assert lines == ["| task | split | loss |", "| ---- | ----- | ---: |", "| a    | test  | 12.5 |"]


def test_curves_have_a_panel_per_task_and_show_both_splits(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    from mtlkeras._app.report.curves import draw_curves

    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **_: drawn.append(self))
    history = {
        name: [1.0, 2.0, 3.0] for part in ("", "val_") for name in (f"{part}{n}" for n in RESULTS["test"])
    }
    draw_curves(tmp_path / "x.png", history, ["a", "a_b"], best_epoch=2)
    shown = [axis for axis in drawn[0].axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in shown] == [
        "a: loss", "a: accuracy", "a_b: loss", "a_b: mae", "all tasks: loss",
    ]  # fmt: skip
    lines = [line for line in shown[1].lines if len(line.get_xdata()) == 3]
    assert [line.get_label() for line in lines] == ["train", "valid"]
    assert all(list(line.get_xdata()) == [1, 2, 3] for line in lines)


def test_pictures_of_answers_show_input_truth_and_answer(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    from mtlkeras._app.report.answers import batch_with_labels, draw_answers

    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **_: drawn.append(self))
    heads = {
        "leaf": mtlkeras.heads.Segmentation(3, class_names=("a", "b", "c"), width=4),
        "marks": mtlkeras.heads.Segmentation(1, exclusive=False, width=4),
        "depth": mtlkeras.heads.DenseRegression(width=4),
        "kind": mtlkeras.heads.Classification(2),
    }
    model = mtlkeras.build_model((6, 8, 1), TinyTrunk(), heads)
    x = np.random.default_rng(0).integers(0, 256, (5, 6, 8, 1)) / np.float32(255)
    x[:, 0, 0], x[:, 0, 1] = 0.0, 1.0  # What is shown goes from the darkest to the lightest pixel.
    leaf = np.zeros((5, 6, 8), int)
    leaf[0, :3] = mtlkeras.MISSING
    leaf[1] = mtlkeras.MISSING
    y = {"leaf": leaf, "marks": leaf, "depth": np.full((5, 6, 8), np.nan), "kind": np.zeros(5)}
    said = draw_answers(tmp_path / "x.png", model, x, y)
    right = (model.predict_labels(x, verbose=0)["leaf"] == "a")[[0, 2, 3, 4]]
    share = right[leaf[[0, 2, 3, 4]] == 0].mean()
    assert said.startswith("4 pictures of the validation split, one a row: the input, then truth and answer")
    assert f"leaf ({share:.0%} of the pixels right)" in said and "depth (no label)" in said
    titles = [axis.get_title() for axis in drawn[0].axes[:7]]
    parts = [f"{task}, {what}" for task in ("leaf", "marks", "depth") for what in ("truth", "answer")]
    assert titles == ["input", *parts] and len(drawn[0].axes) == 28
    shown = drawn[0].axes[1].images[0].get_array()
    assert (
        shown.mask[:3].all() and not shown.mask[3:].any()
    )  # The second picture, without labels, is left out.
    np.testing.assert_allclose(drawn[0].axes[7].images[0].get_array(), x[2, ..., 0], atol=1e-6)
    assert draw_answers(tmp_path / "x.png", model, x, {"kind": y["kind"]}) is None
    bare = {**y, "leaf": np.full_like(leaf, -1), "marks": np.full_like(leaf, -1)}
    assert batch_with_labels(model, [(x, bare), (x, y)])[1] is y, "the first that has a mask"
    assert batch_with_labels(model, [(x, bare), (x, bare.copy())])[1] is bare
    assert batch_with_labels(model, []) is None


def test_picture_of_a_model_names_inputs_trunk_and_heads(tmp_path, monkeypatch):
    figure = pytest.importorskip("matplotlib.figure")
    from mtlkeras._app.report.diagram import draw_model

    drawn = []
    monkeypatch.setattr(figure.Figure, "savefig", lambda self, path, **_: drawn.append(self))
    model = mtlkeras.build_model(
        keras.Input((16, 16, 3), name="photo"),
        mtlkeras.trunks.ResNet(depth=8, width=4),
        {
            "kind": mtlkeras.heads.Classification(3, hidden=(5,)),
            "age": mtlkeras.heads.Regression(at="stage_1", loss_weight=0.5),
        },
    )
    draw_model(tmp_path / "x.png", model)
    texts = " ".join(text.get_text() for text in drawn[0].axes[0].texts)
    for part in (
        "photo", "batch × 16 × 16 × 3 float32", "shared trunk", "ResNet(",
        f"{model.trunk.count_params():,} weights", "kind", "5 → Classification (3)", "age",
        "Regression (1), weight 0.5", "stage_1",
    ):  # fmt: skip
        assert part in texts
    boxes = [patch.get_bbox() for patch in drawn[0].axes[0].patches if hasattr(patch, "get_boxstyle")]
    boxes = [box for box in boxes if box.width > 1]
    assert len(boxes) == 4
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
            assert apart
    assert np.isfinite(drawn[0].get_size_inches()).all()
