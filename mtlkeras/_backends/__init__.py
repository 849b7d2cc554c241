"""What differs between Keras' backends: a folder a backend, with the same names in both."""

import keras

if keras.backend.backend() == "tensorflow":
    from mtlkeras._backends.tensorflow import *  # noqa: F403
else:
    from mtlkeras._backends.jax import *  # type: ignore[assignment]  # noqa: F403
