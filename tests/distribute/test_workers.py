"""Several processes that train together: files by the first one only, and what Keras lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.distribute.test_equality import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

RECIPE = '''"""Points."""

import keras
import numpy as np

import mtlkeras

EPOCHS = 3
BATCH_SIZE = 16
SEED = 3
MONITOR = "val_side_loss"
RESULT = "the same on one and on two"


def data(split, batch_size, data_dir=None):
    rng = np.random.default_rng(["train", "valid", "test"].index(split))
    x = rng.normal(size=(90 if split == "train" else 40, 4)).astype("float32")
    y = {"side": (x[:, 0] > 0).astype("int32"), "far": np.abs(x).sum(1)}
    return mtlkeras.data.load(
        (x, y), {"side": "side", "far": "far"}, batch_size=batch_size, shuffle=split == "train", seed=SEED
    )


def build(hp):
    trunk = mtlkeras.trunks.MLP(depth=1, width=8)
    heads = {"side": mtlkeras.heads.Classification(2), "far": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((4,), trunk, heads)
    model.compile(keras.optimizers.Adam(0.01, global_clipnorm=0.5))
    return model
'''

# A plain Keras model, as its documentation says to train it on several workers.
PLAIN = """
import keras, numpy as np, tensorflow as tf
ring = tf.distribute.experimental.CommunicationImplementation.RING
options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
with strategy.scope():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
model.fit(np.ones((16, 4), "float32"), np.ones((16, 1), "float32"), batch_size=8, verbose=0)
"""


def _start_both(command, cwd):
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config), "KERAS_BACKEND": "tensorflow"}
        processes.append(
            subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
    return [(process.communicate(timeout=600)[0], process.returncode) for process in processes]


def test_run_of_two_workers_is_that_of_one(tmp_path):
    recipe = tmp_path / "points.py"
    recipe.write_text(RECIPE)
    train = [sys.executable, "-m", "mtlkeras", "train", str(recipe), "--run-dir"]
    for output, code in _start_both([*train, "two", "--strategy", "multi_worker"], tmp_path):
        assert code == 0, output[-3000:]
    subprocess.run([*train, "one"], cwd=tmp_path, check=True, capture_output=True)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one", "points.py", "two"]
    one, two = ({file.name for file in (tmp_path / run).iterdir()} for run in ("one", "two"))
    assert one == two
    histories = [json.loads((tmp_path / run / "history.json").read_text()) for run in ("one", "two")]
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    metrics = [json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("one", "two")]
    for name, value in metrics[0]["test"].items():
        np.testing.assert_allclose(metrics[1]["test"][name], value, rtol=1e-5, atol=1e-6, err_msg=name)

    import tensorflow as tf

    served = tf.saved_model.load(str(tmp_path / "two" / "saved_model"))
    assert served.serve(tf.zeros((3, 4)))["far"].shape[0] == 3


def test_plain_keras_still_fails_with_two_workers(tmp_path):
    results = _start_both([sys.executable, "-c", PLAIN], tmp_path)
    assert all(code != 0 for _, code in results), (
        "Keras trains on several workers now: see whether multi_worker.py of the TensorFlow backend can go."
    )
    assert any("PerReplica" in output for output, _ in results), results[0][0][-2000:]
