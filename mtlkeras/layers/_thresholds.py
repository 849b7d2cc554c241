"""Thresholds in order, as weights of a layer."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from mtlkeras._types import Tensor

_INVERSE_SOFTPLUS_OF_1 = math.log(math.expm1(1.0))


class Thresholds:
    """What layers with ordered thresholds have in common; comes before the layer's base.

    `t_1 < t_2 < ...` are in order by construction: each is the one before plus a softplus.
    """

    first: Any
    steps: Any

    def add_thresholds(self, count: int) -> None:
        """Adds the weights of `count` thresholds, at least 2, which start one unit apart, centred at zero."""
        add_weight = self.add_weight  # type: ignore[attr-defined]
        self.first = add_weight(
            shape=(1,), name="first_threshold", initializer=keras.initializers.Constant(-(count - 1) / 2)
        )
        self.steps = add_weight(
            shape=(count - 1,),
            name="threshold_steps",
            initializer=keras.initializers.Constant(_INVERSE_SOFTPLUS_OF_1),
        )

    def thresholds(self) -> Tensor:
        """Returns the ordered thresholds, shape `(count,)`."""
        return ops.concatenate([self.first, self.first + ops.cumsum(ops.softplus(self.steps))])
