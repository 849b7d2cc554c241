"""Matrix products in full precision, whatever a GPU does by default."""

import keras
import numpy as np
import pytest
from keras import ops

from mtlkeras._backends import matmul


@pytest.mark.parametrize("transposed", [False, True])
def test_products_have_the_precision_of_float32(transposed):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7, 5000)).astype("float32"), rng.normal(size=(2, 5000, 7)).astype("float32")
    given = np.swapaxes(b, -1, -2).copy() if transposed else b
    found = matmul(ops.convert_to_tensor(a), ops.convert_to_tensor(given), transpose_b=transposed)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    # Ten bits of each factor would leave an error of some 1e-2, sums in the order of the terms one of 5e-4.
    np.testing.assert_allclose(found, a.astype("float64") @ b.astype("float64"), atol=1e-3)


@pytest.mark.tensorflow
def test_gpus_multiply_in_float64_where_they_would_round(monkeypatch):
    from mtlkeras._backends.tensorflow import products as matmul_tensorflow

    # Sums in float32 lose the ones beside the large numbers.
    a, b = np.array([[2.0**25, 1.0, -(2.0**25)]], "float32"), np.ones((3, 1), "float32")
    monkeypatch.setattr(matmul_tensorflow, "_rounds_products", lambda: True)
    assert float(matmul(ops.convert_to_tensor(a), ops.convert_to_tensor(b))[0, 0]) == 1.0
