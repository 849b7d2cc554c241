"""What differs between Keras' backends: a folder a backend, with the same names in both."""

import keras

if keras.backend.backend() == "tensorflow":
    from mtlkeras._backends.tensorflow import (
        SOLVER_DTYPE,
        Trainer,
        check_at_most,
        check_same_length,
        compiled,
        is_chief,
        make_strategy,
        matmul,
        replica_count,
        scan,
        sum_over_replicas,
        traced_once,
    )
else:
    from mtlkeras._backends.jax import (  # type: ignore[assignment]
        SOLVER_DTYPE,
        Trainer,
        check_at_most,
        check_same_length,
        compiled,
        is_chief,
        make_strategy,
        matmul,
        replica_count,
        scan,
        sum_over_replicas,
        traced_once,
    )

__all__ = [
    "SOLVER_DTYPE",
    "Trainer",
    "check_at_most",
    "check_same_length",
    "compiled",
    "is_chief",
    "make_strategy",
    "matmul",
    "replica_count",
    "scan",
    "sum_over_replicas",
    "traced_once",
]
