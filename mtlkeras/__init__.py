"""Multi-task learning in Keras: a shared trunk, several named heads, one model."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Where each public name is defined; a module is imported when its name is first used.
_DEFINED_IN = {
    "Features": "features",
    "MISSING": "_missing",
    "MultiTaskModel": "model",
    "Spec": "specs",
    "build_model": "builder",
    "spec": "specs",
}
_MODULES = ("data", "heads", "layers", "metrics", "sharing", "trunks")

__all__ = [*_DEFINED_IN, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"mtlkeras.{name}")
    if name in _DEFINED_IN:
        value = getattr(importlib.import_module(f"mtlkeras.{_DEFINED_IN[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'mtlkeras' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
