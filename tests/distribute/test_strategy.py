"""Strategies by name, in scripts and on the command line."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from mtlkeras._app.cli import main
from mtlkeras.training import strategy
from tests.distribute.test_workers import RECIPE
from tests.support import examples, tiny_model


def test_unknown_name_has_a_near_match():
    with pytest.raises(ValueError, match="mirrored"):
        strategy("miror")


@pytest.mark.tensorflow
def test_one_device_and_mirrored():
    import tensorflow as tf

    one, mirrored = strategy("one_device"), strategy("mirrored")
    assert one.num_replicas_in_sync == 1
    assert mirrored.num_replicas_in_sync == len(tf.config.list_logical_devices("CPU")) == 2


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="about the JAX backend")
def test_strategy_on_jax_holds_within_its_scope():
    with strategy("mirrored").scope():
        assert isinstance(keras.distribution.distribution(), keras.distribution.DataParallel)
        model = tiny_model()
        x, y = examples(8)
        assert np.isfinite(model.fit(x, y, batch_size=4, verbose=0).history["loss"]).all()
    assert keras.distribution.distribution() is None
    with pytest.raises(NotImplementedError, match="needs the TensorFlow backend"):
        strategy("multi_worker")


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "needs the environment variable TF_CONFIG"),
        ("{", "TF_CONFIG is not valid"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "IndexError"),
        ('{"cluster": {"worker": ["a:1"]}}', "KeyError: 'task'"),
    ],
)
def test_cluster_must_be_given(monkeypatch, config, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=message):
        strategy("multi_worker")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_run_on_two_replicas_is_that_of_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.py").write_text(RECIPE)
    for run, extra in (("one", []), ("two", ["--strategy", "mirrored"])):
        assert main(["train", "points.py", "--run-dir", run, "--quiet", "--epochs", "2", *extra]) == 0
    one, two = (json.loads((tmp_path / run / "history.json").read_text()) for run in ("one", "two"))
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    assert (tmp_path / "two/saved_model/saved_model.pb").is_file()
    assert main(["train", "two", "--resume", "--strategy", "one_device"]) == 2
