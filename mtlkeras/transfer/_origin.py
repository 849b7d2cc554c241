"""A trained model whose trunk is used elsewhere."""

from __future__ import annotations

import os
from typing import Any

import keras

from mtlkeras._model.model import MultiTaskModel
from mtlkeras.layers import TrunkOutput
from mtlkeras.sharing import HardSharing
from mtlkeras.trunks._apart import as_inner
from mtlkeras.trunks._held import without_start


class Origin:
    """A trained model whose trunk is used again.

    Args:
        source: The model, its trunk, or the path of a file of either.
        owner: Who uses it, for error messages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no model with a graph, or its tasks share no trunk.
    """

    def __init__(self, source: Any, owner: str) -> None:
        self.model = _loaded(source, owner) if isinstance(source, (str, os.PathLike)) else source
        if not isinstance(self.model, keras.Model) or not hasattr(self.model, "output"):
            raise ValueError(
                f"{owner}: expected a MultiTaskModel, a functional keras.Model or the path of a .keras file; "
                f"received {source!r}."
            )
        try:
            trunk = self.model.trunk if isinstance(self.model, MultiTaskModel) else self.model
        except AttributeError as error:
            raise ValueError(f"{owner}: {error}") from None
        self.trunk = without_start(trunk)
        carrier = next((layer for layer in self.trunk.layers if isinstance(layer, TrunkOutput)), None)
        self.spec = None if carrier is None else carrier.trunk
        self.sharing: Any = HardSharing() if carrier is None else carrier.sharing or HardSharing()

    def inputs(self) -> Any:
        """Returns new inputs like those of the source."""
        own = self.model.input
        if isinstance(own, (list, tuple)):
            own = {x.name: x for x in own} if len(own) > 1 else own[0]
        return as_inner(own)


def _loaded(path: Any, owner: str) -> Any:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{owner}: no model at {os.fspath(path)}.")
    return keras.saving.load_model(path, compile=False)
