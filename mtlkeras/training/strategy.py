"""Training on several devices, by name."""

from __future__ import annotations

from typing import Any

from mtlkeras._backends import make_strategy
from mtlkeras._errors import unknown_name

STRATEGIES = ("one_device", "mirrored", "multi_worker")


def strategy(name: str) -> Any:
    """Returns how a model is trained on the devices that are there.

    Build and compile the model within the strategy's `scope()`; `fit`, `evaluate` and `predict`
    may be called outside. Weights and logs are those of one device on the same batches.

    Args:
        name: `"one_device"`, the first GPU or otherwise the CPU; `"mirrored"`, all GPUs (on the
            CPU, all logical CPUs) of this machine; `"multi_worker"`, all GPUs of all machines that
            the environment variable `TF_CONFIG` names, with one process each. The last one must be
            called before anything else uses TensorFlow. On JAX, `"mirrored"` is
            `keras.distribution.DataParallel` over all devices.

    Returns:
        A `tf.distribute.Strategy`, or on JAX an object with a method `scope` of the same use.

    Raises:
        ValueError: If the name is unknown, or `"multi_worker"` finds no valid `TF_CONFIG`.
        NotImplementedError: For `"multi_worker"` on JAX.

    Example:

    ```python
    with mtlkeras.training.strategy("mirrored").scope():
        model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
        model.compile("adam")
    model.fit(np.ones((9, 4)), {"y": np.arange(9.0)}, verbose=0)
    ```
    """
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES, "strategy")
    return make_strategy(name)
