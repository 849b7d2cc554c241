"""Searches that train no model over a limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import keras

from mtlkeras.tuning._packages import keras_tuner
from mtlkeras.tuning.limits import Limits

if TYPE_CHECKING:
    import keras_tuner as kt


def within_limits(
    hypermodel: Callable[[kt.HyperParameters], keras.Model] | kt.HyperModel,
    max_parameters: int | None = None,
    max_flops: int | None = None,
) -> kt.HyperModel:
    """Wraps a model-building function so that trials over a limit are not trained.

    Such a trial ends at once with the status `FAILED` and a message that says by how much. Give
    the tuner a `max_consecutive_failed_trials` above 3, its default, where many may be too large.

    Args:
        hypermodel: A function of `hp` that returns a compiled model, or a `keras_tuner.HyperModel`.
        max_parameters: Most weights that a model may have.
        max_flops: Most floating-point operations of a prediction for one example.

    Returns:
        A `keras_tuner.HyperModel` for any of KerasTuner's tuners.

    Example:

    ```python
    import keras_tuner

    def build(hp):
        trunk = mtlkeras.trunks.MLP.tune(hp)
        model = mtlkeras.build_model((8,), trunk, {"y": mtlkeras.heads.Regression()})
        model.compile("adam")
        return model

    hypermodel = mtlkeras.tuning.within_limits(build, max_parameters=50_000)
    # keras_tuner.RandomSearch(hypermodel, ...)
    ```
    """
    keras_tuner()
    from mtlkeras.tuning._limited import LimitedHyperModel

    return LimitedHyperModel(hypermodel, Limits(max_parameters, max_flops))
