"""What keras.Model.fit lacks under `tf.distribute.MultiWorkerMirroredStrategy`.

Keras 3.15 reads a first batch in a way that fails there (https://github.com/keras-team/keras/issues/20585;
`Trainer._maybe_symbolic_build` in the module for TensorFlow does without), and takes the mean of
the logs along an axis that they do not have. A test tells when both are mended.
"""

from __future__ import annotations

import json
import os
from typing import Any

import tensorflow as tf


def is_multi_worker(strategy: Any) -> bool:
    """Returns whether a strategy trains with several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def make_strategy() -> Any:
    """Returns the strategy over the machines of `TF_CONFIG`.

    Raises:
        ValueError: If `TF_CONFIG` is not set or is not valid.
        RuntimeError: If TensorFlow was used before.
    """
    _task()
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    ring = tf.distribute.experimental.CommunicationImplementation.RING
    options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
    return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)


def is_chief() -> bool:
    """Returns whether `TF_CONFIG` makes this process the one that writes the files."""
    cluster, task = _task()
    return task["type"] == "chief" or ("chief" not in cluster and int(task["index"]) == 0)


def _task() -> tuple[dict[str, Any], dict[str, Any]]:
    example = (
        '{"cluster": {"worker": ["10.0.0.1:4000", "10.0.0.2:4000"]}, "task": {"type": "worker", "index": 0}}'
    )
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise ValueError(
            "The strategy multi_worker needs the environment variable TF_CONFIG with the addresses of all "
            f"processes and the place of this one, for example {example}"
        )
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        cluster[task["type"]][int(task["index"])]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"TF_CONFIG is not valid ({type(error).__name__}: {error}); expected for example {example}"
        ) from error
    return cluster, task


def with_replica_axis(logs: Any) -> Any:
    """Gives scalar logs the axis along which Keras takes the mean over workers."""
    if not is_multi_worker(tf.distribute.get_strategy()):
        return logs
    return {name: tf.expand_dims(value, 0) for name, value in logs.items()}
