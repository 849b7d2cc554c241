"""Small models and labels that several tests share."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np

import mtlkeras
from mtlkeras.features import Features
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Stage


@spec
class TinyTrunk(Trunk):
    """One convolution with a pool: all that a test of the model needs."""

    gives = ("vector", "map")
    width: int = tunable(4, 4, 8)
    l2: float = 0.0

    def convolution(self):
        regularizer = keras.regularizers.L2(self.l2) if self.l2 else None
        return keras.layers.Conv2D(
            self.width, 3, padding="same", activation="tanh", kernel_regularizer=regularizer, name="conv"
        )

    def __call__(self, inputs):
        feature_map = self.convolution()(inputs)
        vector = keras.layers.GlobalAveragePooling2D(name="pool")(feature_map)
        return Features(vector=vector, map=feature_map, taps={"conv": feature_map}, source=self)


@spec
class TinyStages(Trunk):
    """Two convolutions, each a stage, the second at half the size: for what goes along stages."""

    gives = ("vector", "map")
    width: int = tunable(4, 4, 8)
    l2: float = 0.0

    def stages(self, flow):
        return [Stage("conv", partial(self._conv, "conv", 1)), Stage("last", partial(self._conv, "last", 2))]

    def _conv(self, name, strides, flow):
        regularizer = keras.regularizers.L2(self.l2) if self.l2 else None
        layer = keras.layers.Conv2D(
            self.width, 3, strides, "same", activation="tanh", kernel_regularizer=regularizer, name=name
        )
        return flow.to(layer(flow.x))

    def end(self, flow):
        vector = keras.layers.GlobalAveragePooling2D(name="pool")(flow.x)
        return Features(vector=vector, map=flow.x, taps=flow.taps, source=self)


def all_heads() -> dict:
    """One head of each kind."""
    return {
        "kind": Classification(3, class_names=("ant", "bee", "cat")),
        "size": Regression(num_targets=2),
        "marks": MultiLabel(2, label_names=("red", "blue")),
        "grade": Ordinal(4, class_names=("none", "low", "middle", "high")),
    }


def tiny_model(
    heads: dict | None = None,
    compiled: bool = True,
    l2: float = 0.0,
    sharing=None,
    dependence=None,
    trunk=None,
    **compile_args,
):
    """A compiled model of one convolution on 6 x 6 x 1 images."""
    model = mtlkeras.build_model(
        (6, 6, 1), trunk or TinyTrunk(l2=l2), heads or all_heads(), sharing=sharing, dependence=dependence
    )
    if compiled:
        model.compile(compile_args.pop("optimizer", "sgd"), **compile_args)
    return model


def examples(count: int = 20, missing: float = 0.0, seed: int = 0) -> tuple[np.ndarray, dict]:
    """Images and labels for `all_heads`, a share of the labels missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 6, 6, 1)).astype("float32")
    y = {
        "kind": rng.integers(0, 3, count),
        "size": rng.normal(size=(count, 2)).astype("float32"),
        "marks": rng.integers(0, 2, (count, 2)),
        "grade": rng.integers(0, 4, count),
    }
    for labels in y.values():
        gone = rng.random(labels.shape) < missing
        labels[gone] = np.nan if labels.dtype.kind == "f" else mtlkeras.MISSING
    return x, y


def softmax(scores: np.ndarray) -> np.ndarray:
    exp = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-scores))


# For models that take few steps: TensorFlow is quicker without a graph, and JAX, which compiles each
# operation by itself, with one.
EAGERLY = keras.backend.backend() == "tensorflow"
