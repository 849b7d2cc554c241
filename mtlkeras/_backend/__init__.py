"""What differs between Keras' backends, one module a backend."""

import keras

if keras.backend.backend() == "tensorflow":
    from mtlkeras._backend.matmul_tensorflow import matmul
    from mtlkeras._backend.multi_worker import is_chief
    from mtlkeras._backend.tensorflow import (
        SOLVER_DTYPE,
        Trainer,
        check_at_most,
        check_same_length,
        make_strategy,
        replica_count,
        sum_over_replicas,
        traced_once,
    )
    from mtlkeras._backend.tensorflow_scan import compiled, scan
else:
    from mtlkeras._backend.jax import (  # type: ignore[assignment]
        SOLVER_DTYPE,
        Trainer,
        check_at_most,
        check_same_length,
        is_chief,
        make_strategy,
        matmul,
        replica_count,
        sum_over_replicas,
        traced_once,
    )
    from mtlkeras._backend.jax_scan import compiled, scan  # type: ignore[assignment]

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
