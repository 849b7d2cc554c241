"""A penalty that holds a trunk near its start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras.heads import Head
from mtlkeras.specs import Spec, spec, tunable


@spec
class L2SP(Spec):
    """Holds a trunk near its start: L2-SP (Li, Grandvalet and Davoine 2018, Explicit Inductive Bias for
    Transfer Learning with Convolutional Networks, eq. 2).

    `alpha / 2 * |w - w0|^2` over the weights of the trunk that were copied, w0 being their values then, and
    `beta / 2 * |v|^2` over the kernels of the heads, which are new. Given to `reuse_trunk(..., penalty=)`. It
    is a part of `loss`, as regularisers are, in training and evaluation; what is frozen has none. The start
    is saved with the model.

    Args:
        alpha: Factor of the squared distance to the start.
        beta: Factor of the squares of the heads' kernels; it adds to the heads' own `l2`.

    Raises:
        ValueError: If a factor is negative or not finite.

    Example:

    ```python
    trained = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model = mtlkeras.transfer.reuse_trunk(
        trained,
        {"kind": mtlkeras.heads.Classification(3)},
        penalty=mtlkeras.transfer.L2SP(alpha=0.1, beta=0.01),
    )
    ```
    """

    alpha: float = tunable(0.1, low=1e-4, high=1.0, log=True)
    beta: float = tunable(0.01, low=1e-4, high=0.1, log=True)

    def validate(self) -> None:
        for field in ("alpha", "beta"):
            value = getattr(self, field)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"L2SP: {field} must be finite and not negative; received {value!r}.")

    def on_heads(self, heads: Mapping[str, Any]) -> dict[str, Any]:
        """Returns heads with the penalty on their kernels; what is no head is passed on."""
        return {
            task: head.replace(l2=head.l2 + self.beta / 2) if isinstance(head, Head) else head
            for task, head in heads.items()
        }
