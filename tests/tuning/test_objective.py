"""Objectives: the direction of each task's metric, and names checked before the first trial."""

from __future__ import annotations

import keras
import keras_tuner
import pytest

import mtlkeras
from mtlkeras.tuning._directions import log_directions, main_metrics
from tests.support import all_heads, tiny_model

DIRECTIONS = {
    "loss": "min",
    "kind_loss": "min",
    "size_loss": "min",
    "marks_loss": "min",
    "grade_loss": "min",
    "kind_accuracy": "max",
    "size_mae": "min",
    "marks_accuracy": "max",
    "grade_accuracy": "max",
    "grade_mae": "min",
}


def test_heads_and_model_know_the_direction_of_every_logged_name():
    directions = log_directions(tiny_model())
    assert set(directions) == set(tiny_model().get_metrics_result())
    assert log_directions(all_heads()) == directions
    assert directions == DIRECTIONS
    assert None not in directions.values()


@pytest.mark.parametrize(
    ("head", "metric", "direction"),
    [
        (mtlkeras.heads.Classification(2, metrics=("auc",)), "auc", "max"),
        (mtlkeras.heads.Classification(7, metrics=("top_5_accuracy",)), "top_5_accuracy", "max"),
        (mtlkeras.heads.Classification(2, metrics=("f1",)), "f1", "max"),
        (mtlkeras.heads.Regression(metrics=("rmse",)), "rmse", "min"),
        (mtlkeras.heads.Classification(3, metrics=("log_loss",)), "log_loss", "min"),
        (mtlkeras.heads.Classification(3, metrics=("matthews",)), "matthews", "max"),
        (mtlkeras.heads.MultiLabel(3, metrics=("average_precision",)), "average_precision", "max"),
        (mtlkeras.heads.Regression(metrics=("mape",)), "mape", "min"),
        (mtlkeras.heads.Regression(metrics=("r2",)), "r2", "max"),
        (mtlkeras.heads.Ordinal(3, metrics=("kappa",)), "kappa", "max"),
        (mtlkeras.heads.Ordinal(3, metrics=("mae",)), "mae", "min"),
    ],
)
def test_direction_of_other_metrics(head, metric, direction):
    assert mtlkeras.tuning.objective({"a": head}, f"val_a_{metric}").direction == direction


def test_every_metric_that_a_head_names_has_a_direction():
    for head in all_heads().values():
        directions = log_directions({"a": head.replace(metrics=head.metric_names)})
        assert [name for name, direction in directions.items() if direction is None] == []


def test_by_default_one_objective_for_the_first_metric_of_each_task():
    found = mtlkeras.tuning.objective(tiny_model())
    assert [o.name for o in found] == list(main_metrics(all_heads()).values())
    assert [o.name.split("_")[1] for o in found] == list(all_heads())
    assert [o.direction for o in found] == [DIRECTIONS[o.name.removeprefix("val_")] for o in found]


def test_one_name_gives_one_objective_and_a_list_a_list():
    single = mtlkeras.tuning.objective(all_heads(), "val_kind_accuracy")
    assert (single.name, single.direction) == ("val_kind_accuracy", "max")
    several = mtlkeras.tuning.objective(all_heads(), ["size_loss", "val_loss"])
    assert [(o.name, o.direction) for o in several] == [("size_loss", "min"), ("val_loss", "min")]


def test_names_of_tasks_that_begin_alike_are_told_apart():
    heads = {"a": mtlkeras.heads.Regression(), "a_b": mtlkeras.heads.Classification(2)}
    assert main_metrics(heads) == {"a": "val_a_mae", "a_b": "val_a_b_accuracy"}


def test_misspelt_name_is_an_error_with_the_nearest_one():
    message = "Unknown metric 'val_kind_acuracy' in objective. Did you mean 'val_kind_accuracy'?"
    with pytest.raises(ValueError, match=message):
        mtlkeras.tuning.objective(tiny_model(), "val_kind_acuracy")
    with pytest.raises(ValueError, match="Unknown metric 'val_sise_mae'"):
        mtlkeras.tuning.objective(tiny_model(), [keras_tuner.Objective("val_sise_mae", "min")])


def test_metric_without_a_direction_needs_one():
    def spread(y_true, y_pred):
        return keras.ops.max(y_pred, axis=-1)

    model = tiny_model(metrics={"size": [spread]})
    with pytest.raises(ValueError, match=r"'val_size_spread' is better .* keras_tuner.Objective\("):
        mtlkeras.tuning.objective(model, "val_size_spread")
    given = keras_tuner.Objective("val_size_spread", "max")
    assert mtlkeras.tuning.objective(model, [given])[0].direction == "max"


def test_model_that_is_not_compiled_is_an_error():
    with pytest.raises(ValueError, match="needs a compiled model"):
        mtlkeras.tuning.objective(tiny_model(compiled=False))


def test_missing_package_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tensorboard" else name)
    with pytest.raises(ImportError, match=r"needs the package tensorboard: pip install 'mtlkeras\[tuner\]'"):
        mtlkeras.tuning.objective(all_heads())
