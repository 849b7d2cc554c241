"""A hypermodel that trains no model over a limit. Needs KerasTuner, so it is imported when used."""

from __future__ import annotations

from typing import Any

import keras_tuner

from mtlkeras.tuning.limits import Limits


class LimitedHyperModel(keras_tuner.HyperModel):
    """Builds every model, and refuses to train one over the limits.

    Not to build it would end the search before its first trial, as the tuner builds the models
    of a space once to get to know it.
    """

    def __init__(self, hypermodel: Any, limits: Limits) -> None:
        super().__init__()
        self._inner, self._limits = hypermodel, limits

    def build(self, hp: Any) -> Any:
        build = self._inner.build if isinstance(self._inner, keras_tuner.HyperModel) else self._inner
        return build(hp)

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        self._limits.check(model)
        if isinstance(self._inner, keras_tuner.HyperModel):
            return self._inner.fit(hp, model, *args, **kwargs)
        return model.fit(*args, **kwargs)
