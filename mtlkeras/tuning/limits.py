"""Limits on the size of a model: a trial over them is not trained."""

from __future__ import annotations

import dataclasses

import keras

from mtlkeras.tuning._packages import keras_tuner


@dataclasses.dataclass(frozen=True)
class Limits:
    """How large a model may be; `None` for no limit.

    Args:
        max_parameters: Number of weights, those that are not trained included.
        max_flops: Floating-point operations of a prediction for one example.
    """

    max_parameters: int | None = None
    max_flops: int | None = None

    def excess(self, model: keras.Model) -> str | None:
        """Returns in words what a model has too much of, `None` if it is within the limits."""
        count = model.count_params()
        if self.max_parameters is not None and count > self.max_parameters:
            return f"{count:,} weights are over the limit of {self.max_parameters:,}"
        if self.max_flops is None:
            return None
        count = count_flops(model)
        if count > self.max_flops:
            return f"{count:,} operations per example are over the limit of {self.max_flops:,}"
        return None

    def check(self, model: keras.Model) -> None:
        """Raises `keras_tuner.errors.FailedTrialError` for a model over the limits."""
        excess = self.excess(model)
        if excess is not None:
            raise keras_tuner().errors.FailedTrialError(excess)


def count_flops(model: keras.Model) -> int:
    """Returns the floating-point operations of a prediction for one example.

    A multiplication and an addition count as two. Counted by TensorFlow's profiler on the graph
    of the model; operations that it does not know count as none.

    Args:
        model: A built `keras.Model` whose inputs have a known shape but for the batch.

    Raises:
        ValueError: On another backend than TensorFlow, or if an input's shape is not known.

    Example:

    ```python
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, use_bias=False)])
    mtlkeras.tuning.count_flops(model)  # 24 = 2 x 3 x 4
    ```
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Operations are counted on the TensorFlow backend only; this is {keras.backend.backend()}. "
            "Limit the number of weights instead."
        )
    from mtlkeras._backends.tensorflow.flops import count

    return count(model)
