"""What every test shares: quiet backends, two logical CPUs, seeds, and the folder of data sets."""

from __future__ import annotations

import gc
import os
from pathlib import Path

# Read when TensorFlow is imported, so they come first.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import pytest

ROOT = Path(__file__).resolve().parent.parent


def _set_up_tensorflow() -> None:
    """Gives TensorFlow two logical CPUs and, beside other test processes, few threads."""
    import tensorflow as tf

    if "PYTEST_XDIST_WORKER" in os.environ:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    cpu = tf.config.list_physical_devices("CPU")[0]
    # Must precede the first operation: tests of tf.distribute mirror over CPU:0 and CPU:1.
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


if keras.backend.backend() == "tensorflow":
    _set_up_tensorflow()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return
    skip = pytest.mark.skip(reason=f"needs the TensorFlow backend; this is {backend}")
    for item in items:
        if "tensorflow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def fresh_keras():
    """Starts each test with the same seed, counters of layer names and global policy."""
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module", autouse=True)
def small_heap():
    """Keeps what earlier tests left behind, such as compiled functions, out of garbage collections.

    There are millions of such objects in the end, and KerasTuner collects for each trial.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets: MTLKERAS_DATA, or `shared/data` beside the project."""
    named = os.environ.get("MTLKERAS_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs data sets on disk: {folder} does not exist (set MTLKERAS_DATA)")
    return folder
