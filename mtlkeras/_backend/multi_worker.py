"""What keras.Model.fit lacks under `tf.distribute.MultiWorkerMirroredStrategy`.

Keras 3.15 reads a first batch in a way that fails there (https://github.com/keras-team/keras/issues/20585;
`Trainer._maybe_symbolic_build` in the module for TensorFlow does without), and takes the mean of
the logs along an axis that they do not have. A test tells when both are mended.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def is_multi_worker(strategy: Any) -> bool:
    """Returns whether a strategy trains with several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_chief(strategy: Any) -> bool:
    """Returns whether this process is the only one, or the first of those that train together."""
    return not is_multi_worker(strategy) or strategy.cluster_resolver.task_id in (0, None)


def with_replica_axis(logs: Any) -> Any:
    """Gives scalar logs the axis along which Keras takes the mean over workers."""
    if not is_multi_worker(tf.distribute.get_strategy()):
        return logs
    return {name: tf.expand_dims(value, 0) for name, value in logs.items()}
