"""Choosing how the training step is compiled, by measuring a few steps."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Sequence
from typing import Any

import keras

from mtlkeras._types import Dataset
from mtlkeras.training.backup import state_of

_REPEATS = 3


@dataclasses.dataclass(frozen=True)
class StepTime:
    """What one way to run the training step takes.

    Args:
        jit_compile: Whether XLA compiles it.
        steps_per_execution: Steps between two returns to Python.
        milliseconds: Median time of a step; infinite if the step could not be run.
    """

    jit_compile: bool
    steps_per_execution: int
    milliseconds: float


def measure_steps(
    model: keras.Model, dataset: Dataset, steps_per_execution: Sequence[int] = (1, 8), steps: int = 16
) -> list[StepTime]:
    """Measures the training step with and without XLA, and with several steps at a time.

    Some steps are trained and undone: weights, optimizer and seeds are afterwards as they were.

    Args:
        model: A compiled model.
        dataset: A batched `tf.data.Dataset`, of which the first `steps` batches are used.
        steps_per_execution: What to try. Results in the logs differ by rounding at most.
        steps: Steps in one measurement.

    Returns:
        What was measured, the fastest first.

    Raises:
        ValueError: If the data set has too few batches for any of `steps_per_execution`.

    Example:

    ```python
    train = mtlkeras.data.load({"x": np.ones((64, 4)), "y": np.arange(64.0)}, {"y": "y"}, "x", batch_size=8)
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model.compile("adam")
    fastest = mtlkeras.training.measure_steps(model, train, steps_per_execution=(1, 4))[0]
    model.compile("adam", jit_compile=fastest.jit_compile, steps_per_execution=fastest.steps_per_execution)
    ```
    """
    batches = dataset.take(steps).cache()
    count = sum(1 for _ in batches)
    widths = [width for width in steps_per_execution if width <= count]
    if not widths:
        raise ValueError(
            f"The data set has {count} batches, too few for steps_per_execution of "
            f"{min(steps_per_execution)} or more."
        )
    before = model.jit_compile, model.steps_per_execution
    model.optimizer.build(model.trainable_variables)
    state = [(variable, keras.ops.copy(variable)) for variable in state_of(model)]
    try:
        found = [
            StepTime(jit, width, _milliseconds(model, batches.take(count // width * width), jit, width))
            for jit, width in itertools.product((False, True), widths)
        ]
    finally:
        use_steps(model, *before)
        for variable, value in state:
            variable.assign(value)
    return sorted(found, key=lambda step: step.milliseconds)


def use_steps(model: keras.Model, jit_compile: bool, steps_per_execution: int) -> None:
    """Makes a compiled model run its training step in another way."""
    model.jit_compile, model.steps_per_execution = jit_compile, steps_per_execution
    model.train_function = model.test_function = model.predict_function = None


def _milliseconds(model: keras.Model, batches: Any, jit: bool, width: int) -> float:
    use_steps(model, jit, width)
    times: list[float] = []
    marks = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: times.append(time.perf_counter()),
        on_epoch_end=lambda *_: times.append(time.perf_counter()),
    )
    try:
        model.fit(batches, epochs=_REPEATS + 1, verbose=0, callbacks=[marks])
    except Exception:  # XLA refuses some operations, each with an error of its own kind.
        if not jit:
            raise
        return float("inf")
    # The first epoch compiles.
    epochs = [end - start for start, end in zip(times[2::2], times[3::2], strict=True)]
    return statistics.median(epochs) / int(batches.cardinality()) * 1e3
