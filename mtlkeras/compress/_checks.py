"""Checks of models and names that every function here makes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mtlkeras._fields import frozen
from mtlkeras._model.model import MultiTaskModel
from mtlkeras.compress._named import named_layers
from mtlkeras.layers import StartingPoint
from mtlkeras.sharing._tied import Tied

_COMPARED = {
    Tied: "SoftSharing compares the trunks weight by weight",
    StartingPoint: "an L2SP penalty compares the trunk with where it began",
}
_SHOWN = 4


def check_model(model: Any, owner: str) -> None:
    """Raises `ValueError` unless a model is a `MultiTaskModel`."""
    if not isinstance(model, MultiTaskModel):
        raise ValueError(f"{owner}: expected a MultiTaskModel; received {type(model).__name__}.")


def check_weights(layers: Iterable[tuple[str, Any]], owner: str) -> None:
    """Checks that weights are finite: what is least, or near to a kernel, cannot be told of others.

    Args:
        layers: Layers by name.
        owner: Who asks, for the error message.

    Raises:
        ValueError: If one is not.
    """
    for name, layer in layers:
        for weight in getattr(layer, "weights", ()):
            if "float" in weight.dtype and not np.isfinite(np.asarray(weight.numpy(), "float64")).all():
                raise ValueError(
                    f"{owner}: the weights of layer '{name}' must be finite; its '{weight.name}' has NaN or "
                    "infinity. Take the model as it was before it diverged."
                )


def check_not_compared(model: Any, owner: str) -> None:
    """Raises `ValueError` if a penalty compares weights of a model, which would no longer be alike."""
    for layer in [*(layer for _, layer in named_layers(model)), *model.layers]:
        why = next((why for kind, why in _COMPARED.items() if isinstance(layer, kind)), None)
        if why is not None:
            raise ValueError(f"{owner}: layer '{layer.name}': {why}, so they stay as they are.")


def shown(sentences: Sequence[str], nothing: str = "") -> str:
    """Returns the first of some sentences and how many more there are; `nothing` if there are none."""
    more = f"; and {len(sentences) - _SHOWN} more" if len(sentences) > _SHOWN else ""
    return "; ".join(sentences[:_SHOWN]) + more or nothing


def names_of(value: Any, argument: str, owner: str, single: bool = False) -> tuple[str, ...]:
    """Returns the names that an argument holds.

    Args:
        value: A series or a set of texts.
        argument: The argument's name, for the error message.
        owner: Who has it, likewise.
        single: Whether one text may stand for a tuple of it.

    Raises:
        ValueError: If it is something else.
    """
    names = frozen(sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)
    if isinstance(names, str) and not single:
        raise ValueError(
            f"{owner}: {argument} must be names in a tuple, such as ({names!r},); received {names!r}."
        )
    names = (names,) if isinstance(names, str) else names
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{owner}: {argument} must be names in a tuple; received {value!r}.")
    return names
