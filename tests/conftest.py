"""What every test shares: quiet backends, two logical CPUs, seeds, and the folder of data sets.

Tests marked `eager` run TensorFlow's functions step by step, since tracing a step costs as much as running
it forty times, and graphs are not optimised; they are traced and optimised as users' are under
MTLKERAS_TEST_TRACED=1, as `make test-slow` sets it.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

# Read when TensorFlow is imported, so they come first.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Grappler's optimizers, but for the one that leaves out what is not asked for.
GRAPPLER = (
    "layout_optimizer", "constant_folding", "shape_optimization", "remapping", "arithmetic_optimization",
    "dependency_optimization", "loop_optimization", "function_optimization", "implementation_selector",
)  # fmt: skip
TRACED = os.environ.get("MTLKERAS_TEST_TRACED", "") not in ("", "0")


def _set_up_tensorflow() -> None:
    """Gives TensorFlow two logical CPUs and, beside other test processes, few threads."""
    import tensorflow as tf

    if "PYTEST_XDIST_WORKER" in os.environ:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    cpu = tf.config.list_physical_devices("CPU")[0]
    if not TRACED:  # Graphs that run a few times are not worth rewriting them first.
        tf.config.optimizer.set_experimental_options(dict.fromkeys(GRAPPLER, False))
    # Must precede the first operation: tests of tf.distribute mirror over CPU:0 and CPU:1.
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def _set_up_jax() -> None:
    """Lets JAX compile once what several tests compile, as with a function made anew for each model."""
    import jax

    folder = tempfile.mkdtemp(prefix="mtlkeras-tests-jax-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_configure(config: pytest.Config) -> None:
    """Sets up the backend, in each process that runs tests; the one that hands them out needs none."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    import keras

    # Tracing makes objects by the hundred thousand, few of them garbage: looked for less often.
    gc.set_threshold(20_000, 20, 20)
    if keras.backend.backend() == "tensorflow":
        _set_up_tensorflow()
    elif keras.backend.backend() == "jax":
        _set_up_jax()


def _mark_listed(config: pytest.Config, items: list[pytest.Item], file: str, complete: bool) -> None:
    """Marks the tests that a file beside this one lists as slow; one that is not there any more is an error.

    Args:
        config: Of the run.
        items: All tests.
        file: The file's name.
        complete: Whether all of the names are known to this backend.
    """
    lines = (ROOT / "tests" / file).read_text().splitlines()
    listed = {line for line in lines if line and not line.startswith("#")}
    by_id = {item.nodeid: item for item in items}
    for name in listed & by_id.keys():
        by_id[name].add_marker("slow")
    files = {name.partition("::")[0] for name in by_id}
    gone = sorted(name for name in listed - by_id.keys() if name.partition("::")[0] in files)
    if gone and complete and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"tests/{file} lists what is no test: {', '.join(gone)}")


@pytest.hookimpl(tryfirst=True)  # Before pytest looks at `-m`.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    import keras

    backend = keras.backend.backend()
    # Of tests whose parameters differ by backend TensorFlow has them all.
    _mark_listed(config, items, "slow_variants.txt", backend == "tensorflow")
    if backend == "tensorflow":
        return
    _mark_listed(config, items, "slow_on_jax.txt", backend == "jax")
    for item in items:
        if "slow_on_jax" in item.keywords:
            item.add_marker("slow")
    skip = pytest.mark.skip(reason=f"needs the TensorFlow backend; this is {backend}")
    for item in items:
        if "tensorflow" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    """Runs a test that is marked `eager`, with its fixtures, without TensorFlow's graphs.

    `eager(False)` takes a test out of a module that is marked.
    """
    import keras

    mark = item.get_closest_marker("eager")
    if TRACED or mark is None or mark.args == (False,) or keras.backend.backend() != "tensorflow":
        return (yield)
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        return (yield)
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture(autouse=True)
def fresh_keras():
    """Starts each test with the same seed, counters of layer names and global policy."""
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy("float32")
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="module", autouse=True)
def small_heap():
    """Keeps what earlier tests left behind, such as compiled functions, out of garbage collections.

    There are millions of such objects in the end, and KerasTuner collects for each trial. They are not
    collected here either: that took a tenth of the time of all tests, and saves some hundred megabytes.
    """
    gc.freeze()
    yield
    gc.freeze()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets: MTLKERAS_DATA, or `shared/data` beside the project."""
    named = os.environ.get("MTLKERAS_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs data sets on disk: {folder} does not exist (set MTLKERAS_DATA)")
    return folder
