"""What differs between Keras' backends, one module a backend."""

import keras

if keras.backend.backend() == "tensorflow":
    from mtlkeras._backend.tensorflow import recover_state, replica_count, sum_over_replicas
else:
    from mtlkeras._backend.jax import recover_state, replica_count, sum_over_replicas

__all__ = ["recover_state", "replica_count", "sum_over_replicas"]
