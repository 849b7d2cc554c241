"""One score over several tasks: closed forms, and use with KerasTuner and stock callbacks."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression
from tests.support import TinyTrunk, examples

HEADS = {"kind": Classification(3), "size": Regression(num_targets=2)}
LOGS = {"val_kind_accuracy": 0.88, "val_size_mae": 300.0, "val_kind_loss": 2.0}


def score(**arguments):
    return mtlkeras.tuning.multi_task_objective(HEADS, **arguments)


def test_delta_is_the_mean_relative_change_with_the_sign_of_the_metric():
    found = score(reference={"kind": 0.8, "size": 250.0})
    assert found(LOGS) == pytest.approx(((0.88 - 0.8) / 0.8 - (300 - 250) / 250) / 2)
    assert found({"val_kind_accuracy": 0.8, "val_size_mae": 250.0}) == 0


def test_delta_does_not_depend_on_the_scale_of_a_metric():
    small = score(reference={"kind": 0.8, "size": 0.25})({**LOGS, "val_size_mae": 0.3})
    assert small == pytest.approx(score(reference={"kind": 0.8, "size": 250.0})(LOGS))


def test_delta_to_a_negative_reference_grows_with_the_metric():
    heads = {"size": Regression(metrics=("r2",))}
    found = mtlkeras.tuning.multi_task_objective(heads, reference={"size": -0.5})
    assert found({"val_size_r2": -0.25}) == pytest.approx(0.5)


def test_rank_is_the_mean_share_of_references_that_are_beaten():
    found = score(by="rank", reference={"kind": [0.7, 0.88, 0.9, 0.95], "size": [100, 301, 302, 303]})
    assert found(LOGS) == pytest.approx(((1 + 0.5) / 4 + 3 / 4) / 2)


def test_weighted_is_the_signed_sum():
    found = score(by="weighted", weights={"kind": 2.0, "size": 0.01})
    assert found(LOGS) == pytest.approx(2 * 0.88 - 0.01 * 300)


def test_values_may_be_given_for_names_in_the_logs():
    found = score(reference={"val_kind_loss": 4.0, "val_kind_accuracy": 0.8, "size": 300.0})
    assert found(LOGS) == pytest.approx((0.5 + 0.1 + 0.0) / 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "delda"}, "Unknown score 'delda' .* Did you mean 'delta'"),
        ({}, "by 'delta' needs reference"),
        ({"by": "weighted", "reference": {"kind": 1}}, "by 'weighted' needs weights"),
        ({"reference": {"kind": 0.8}}, "reference: task 'size' has no value"),
        ({"reference": {"kind": 0.8, "sise": 1.0}}, "Unknown metric 'sise' in reference"),
        ({"reference": {"kind": 0.8, "val_size_mea": 1.0}}, "Did you mean 'val_size_mae'"),
        ({"reference": {"kind": 0.8, "size": 0.0}}, "reference of 'size' is 0"),
        ({"reference": {"kind": 0.8, "size": np.nan}}, "'size' must be a finite number"),
        ({"reference": {"kind": 0.8, "size": [1.0]}}, "'size' must be a finite number for 'delta'"),
        (
            {"by": "rank", "reference": {"kind": [0.8], "size": 1.0}},
            "'size' must be a list of finite numbers",
        ),
        ({"by": "weighted", "weights": {"kind": 1, "size": -1}}, "weight of 'size' must not be negative"),
    ],
)
def test_what_does_not_fit_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        score(**arguments)


def build(hp):
    model = mtlkeras.build_model((6, 6, 1), TinyTrunk(), HEADS)
    model.compile(keras.optimizers.SGD(hp.Choice("rate", [1e-3, 1e-12])))
    return model


def labels():
    x, y = examples(16)
    return x, {"kind": y["kind"], "size": y["size"]}


def test_callback_logs_the_score_and_stock_callbacks_monitor_it():
    found = score(reference={"kind": 0.5, "size": 1.0})
    stop = keras.callbacks.EarlyStopping(found.name, mode="max", patience=1)
    model = build(keras_tuner.HyperParameters())
    model.optimizer.learning_rate = 0.0  # No epoch is better than the first.
    history = model.fit(
        *labels(), validation_data=labels(), epochs=5, verbose=0, callbacks=[found.callback(), stop]
    ).history
    assert len(history[found.name]) == 2
    logs = {name: history[name][0] for name in ("val_kind_accuracy", "val_size_mae")}
    assert history[found.name][0] == pytest.approx(found(logs))


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner")
def test_keras_tuner_searches_by_the_score(tmp_path):
    found = score(reference={"kind": 0.5, "size": 1.0})
    tuner = keras_tuner.GridSearch(build, objective=found.objective, directory=tmp_path)
    tuner.search(*labels(), validation_data=labels(), epochs=1, verbose=0, callbacks=[found.callback()])
    scores = {t.hyperparameters.get("rate"): t.score for t in tuner.oracle.trials.values()}
    assert len(scores) == 2
    best = tuner.get_best_hyperparameters()[0].get("rate")
    assert scores[best] == max(scores.values())
    trial = tuner.oracle.get_best_trials()[0]
    logs = {n: trial.metrics.get_last_value(n) for n in ("val_kind_accuracy", "val_size_mae")}
    assert trial.score == pytest.approx(found(logs))
