"""What differs between Keras' backends, one module a backend."""

import keras

if keras.backend.backend() == "tensorflow":
    from mtlkeras._backend.multi_worker import is_chief
    from mtlkeras._backend.tensorflow import Trainer, make_strategy, replica_count, sum_over_replicas
else:
    from mtlkeras._backend.jax import (  # type: ignore[assignment]
        Trainer,
        is_chief,
        make_strategy,
        replica_count,
        sum_over_replicas,
    )

__all__ = ["Trainer", "is_chief", "make_strategy", "replica_count", "sum_over_replicas"]
