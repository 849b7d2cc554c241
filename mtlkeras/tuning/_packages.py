"""What a search needs beside Keras, and how to get it."""

from __future__ import annotations

import importlib.util
from typing import Any


def keras_tuner() -> Any:
    """Returns the module `keras_tuner`.

    Raises:
        ImportError: If KerasTuner or TensorBoard is missing. KerasTuner imports TensorBoard in
            every trial without declaring it, and calls the trial failed where it is absent.
    """
    for name in ("keras_tuner", "tensorboard"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(
                f"A search needs the package {name.replace('_', '-')}: pip install 'mtlkeras[tuner]'."
            )
    import keras_tuner

    return keras_tuner
