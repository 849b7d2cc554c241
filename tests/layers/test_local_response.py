from __future__ import annotations

import keras
import numpy as np
import pytest

from mtlkeras.layers.local_response import LocalResponseNormalization


def brute_force(x, size=5, bias=2.0, alpha=1e-4, beta=0.75):
    y = np.empty_like(x, "float64")
    for c in range(x.shape[-1]):
        low, high = max(0, c - size // 2), min(x.shape[-1], c + size // 2 + 1)
        y[..., c] = x[..., c] / (bias + alpha * (x[..., low:high].astype("float64") ** 2).sum(-1)) ** beta
    return y


@pytest.mark.parametrize("channels", [1, 3, 8])
@pytest.mark.parametrize("constants", [{}, {"size": 3, "bias": 1.0, "alpha": 0.5, "beta": 0.5}], ids=str)
def test_is_the_papers_formula(channels, constants):
    x = np.random.default_rng(0).normal(0, 30, (2, 3, 4, channels)).astype("float32")
    y = keras.ops.convert_to_numpy(LocalResponseNormalization(**constants)(x))
    np.testing.assert_allclose(y, brute_force(x, **constants), rtol=1e-5, atol=1e-6)


def test_large_values_in_half_precision():
    x = np.full((1, 1, 1, 4), 1000.0, "float16")
    y = keras.ops.convert_to_numpy(LocalResponseNormalization(dtype="float16")(x))
    np.testing.assert_allclose(y, brute_force(x), rtol=2e-3)


def test_config():
    layer = LocalResponseNormalization(size=3, alpha=0.5)
    assert LocalResponseNormalization.from_config(layer.get_config()).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="size must be odd"):
        LocalResponseNormalization(size=4)


def test_positions_keep_neighbours_as_they_were():
    x = np.random.default_rng(0).normal(0, 30, (2, 3, 9)).astype("float32")
    positions = [0, 2, 3, 8]
    rest = np.setdiff1d(np.arange(9), positions)
    layer = LocalResponseNormalization(positions=positions)
    y = keras.ops.convert_to_numpy(layer(x[..., positions]))
    x[..., rest] = 0.0
    np.testing.assert_allclose(y, brute_force(x)[..., positions], rtol=1e-5, atol=1e-6)
    assert LocalResponseNormalization.from_config(layer.get_config()).positions == (0, 2, 3, 8)
    with pytest.raises(ValueError, match="expected 4 channels, one for each position; received 9"):
        LocalResponseNormalization(positions=positions)(x)
