"""Limits on the size of models: counts by closed form, and trials that are not trained."""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
import pytest

import mtlkeras
from mtlkeras.tuning import count_flops, within_limits
from mtlkeras.tuning.limits import Limits
from tests.support import tiny_model


@pytest.mark.tensorflow
def test_flops_of_layers_by_closed_form():
    dense = keras.Sequential([keras.Input((5,)), keras.layers.Dense(7, use_bias=False)])
    assert count_flops(dense) == 2 * 5 * 7
    conv = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, padding="same", use_bias=False)]
    )
    assert count_flops(conv) == 2 * 8 * 8 * 4 * (3 * 3 * 3)
    deep = keras.Sequential([keras.Input((5,)), *[keras.layers.Dense(5, use_bias=False) for _ in range(3)]])
    assert count_flops(deep) == 3 * 2 * 5 * 5


@pytest.mark.tensorflow
def test_flops_of_a_model_with_several_inputs_and_heads():
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((3,), name="b")}
    heads = {"x": mtlkeras.heads.Regression(), "y": mtlkeras.heads.Classification(2)}
    model = mtlkeras.build_model(inputs, mtlkeras.trunks.MLP(depth=1, width=8), heads)
    assert count_flops(model) >= 2 * (5 * 8 + 8 * 1 + 8 * 2)
    with pytest.raises(ValueError, match="for a known shape only"):
        count_flops(keras.Sequential([keras.Input((None, 2)), keras.layers.Dense(1)]))


def test_flops_need_tensorflow(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="on the TensorFlow backend only; this is jax"):
        count_flops(None)


def test_excess_is_told_in_numbers():
    model = tiny_model()
    count = model.count_params()
    assert Limits(max_parameters=count).excess(model) is None
    assert (
        Limits(max_parameters=count - 1).excess(model) == f"{count} weights are over the limit of {count - 1}"
    )


@pytest.mark.tensorflow
def test_operations_are_limited_too():
    model = tiny_model()
    assert Limits(max_flops=count_flops(model)).excess(model) is None
    assert "operations per example are over the limit of 10" in Limits(max_flops=10).excess(model)


def build(hp):
    model = mtlkeras.build_model(
        (2,), mtlkeras.trunks.MLP(1, hp.Choice("width", [4, 8, 64])), {"y": mtlkeras.heads.Regression()}
    )
    model.compile("sgd")
    return model


class Built(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:keras_tuner")
@pytest.mark.parametrize("hypermodel", [build, Built()])
def test_a_trial_over_the_limit_is_listed_and_not_trained(hypermodel, tmp_path):
    tuner = keras_tuner.GridSearch(
        within_limits(hypermodel, max_parameters=100),
        objective=mtlkeras.tuning.objective({"y": mtlkeras.heads.Regression()}, "loss"),
        directory=tmp_path,
    )
    tuner.search(np.ones((4, 2)), {"y": np.ones(4)}, verbose=0)
    status = {t.hyperparameters.get("width"): t.status for t in tuner.oracle.trials.values()}
    assert status == {4: "COMPLETED", 8: "COMPLETED", 64: "FAILED"}
    (failed,) = (t for t in tuner.oracle.trials.values() if t.status == "FAILED")
    assert "259 weights are over the limit of 100" in failed.message
