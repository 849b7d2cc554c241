"""JAX: a step sees the whole batch, since arrays are global under `keras.distribution`."""

from __future__ import annotations

import contextlib
from typing import Any


def replica_count() -> int:
    """Returns how many replicas compute a step together."""
    return 1


def sum_over_replicas(tensor: Any) -> Any:
    """Returns the tensor summed over all replicas: here, the tensor itself."""
    return tensor


@contextlib.contextmanager
def recover_state(model: Any) -> Any:
    """Gives the variables of `model` their values back if its run breaks off.

    The JAX trainer holds a model's state outside of its variables while it runs, and leaves
    them empty when an exception passes through.
    """
    variables = list(model.variables) + list(getattr(model.optimizer, "variables", ()))
    before = [variable.value for variable in variables]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in zip(variables, before, strict=True):
            # Before its first step the trainer has recorded no state, and what was there is whole.
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        raise
