"""Loading models with clear errors."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras

from mtlkeras._model.model import MultiTaskModel


def load_model(filepath: Any, compile: bool = True) -> MultiTaskModel:
    """Loads a model from a `.keras` file, in safe mode.

    As `keras.saving.load_model`, which works as well; this says what is wrong with a file
    that is missing, cut short, or holds another kind of model.

    Args:
        filepath: Path of the `.keras` file.
        compile: Whether to restore optimizer, losses and metrics too.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not whole, or does not hold a `MultiTaskModel`.

    Example:

    ```python
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model.save("model.keras")
    again = mtlkeras.load_model("model.keras")
    ```
    """
    path = Path(filepath)
    if not path.is_file():
        raise FileNotFoundError(f"No model at {path}.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole .keras file: it was cut short or is of another kind.")
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{path} is damaged: its part {damaged} does not match its checksum.")
    model = keras.saving.load_model(path, compile=compile, safe_mode=True)
    if not isinstance(model, MultiTaskModel):
        raise ValueError(f"{path} holds a {type(model).__name__}, not a MultiTaskModel.")
    return model
