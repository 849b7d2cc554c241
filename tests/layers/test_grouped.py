from __future__ import annotations

import keras
import numpy as np
import pytest

from mtlkeras.layers.grouped import GroupedConv2D


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}], ids=str)
@pytest.mark.parametrize("groups", [2, 3])
def test_is_a_grouped_convolution(groups, options):
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 6)).astype("float32")
    layer = GroupedConv2D(12, 3, groups=groups, bias_initializer="normal", **options)
    y = keras.ops.convert_to_numpy(layer(x))
    reference = keras.layers.Conv2D(12, 3, groups=groups, **options)
    reference.build(x.shape)
    reference.set_weights(layer.get_weights())
    np.testing.assert_allclose(y, keras.ops.convert_to_numpy(reference(x)), rtol=1e-4, atol=1e-5)
    assert GroupedConv2D.from_config(layer.get_config()).groups == groups
