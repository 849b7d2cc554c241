"""Multi-task learning in Keras: a shared trunk, several named heads, one model."""

from __future__ import annotations

import importlib
from types import ModuleType

import keras

# Imported at once, and not when first used: this registers every class with Keras, so that
# `import mtlkeras` is enough for `keras.saving.load_model`. It costs some hundredths of a
# second on top of `import keras`.
from mtlkeras import balancers, dependence, heads, layers, metrics, sharing, specs, trunks
from mtlkeras._missing import MISSING
from mtlkeras._model.builder import build_model
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.saving import load_model
from mtlkeras._versions import warn_if_untested
from mtlkeras.features import Features
from mtlkeras.specs import Spec, spec

__version__ = "0.1.0"

__all__ = [
    "analysis",
    "MISSING",
    "Features",
    "MultiTaskModel",
    "Spec",
    "__version__",
    "balancers",
    "build_model",
    "compress",
    "data",
    "dependence",
    "heads",
    "layers",
    "load_model",
    "metrics",
    "sharing",
    "spec",
    "specs",
    "training",
    "transfer",
    "trunks",
    "tuning",
]

warn_if_untested(keras.__version__)

# Modules that hold nothing a saved model needs.
_ON_FIRST_USE = ("analysis", "compress", "data", "training", "transfer", "tuning")


def __getattr__(name: str) -> ModuleType:
    if name in _ON_FIRST_USE:
        return importlib.import_module(f"mtlkeras.{name}")
    raise AttributeError(f"module 'mtlkeras' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
