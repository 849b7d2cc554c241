"""TensorFlow: matrix products and small linear systems in the full precision of float32."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

# What small dense problems are solved in.
SOLVER_DTYPE = "float64"


def matmul(a: Any, b: Any, transpose_b: bool = False) -> Any:
    """Returns the product of matrices of one type.

    GPUs by default keep ten bits of float32 in products (TensorFloat-32), which no single operation
    can turn off; there the product is one of float64.
    """
    if a.dtype == tf.float32 and _rounds_products():
        product = tf.matmul(tf.cast(a, tf.float64), tf.cast(b, tf.float64), transpose_b=transpose_b)
        return tf.cast(product, tf.float32)
    return tf.matmul(a, b, transpose_b=transpose_b)


def solve_positive(matrix: Any, right: Any) -> Any:
    """Returns the solutions X of A X = B for small positive definite A.

    Args:
        matrix: A, shape `(..., K, K)`.
        right: B, shape `(..., K, N)`.
    """
    return tf.linalg.solve(matrix, right)


def _rounds_products() -> bool:
    rounds = tf.config.experimental.tensor_float_32_execution_enabled()
    return rounds and bool(tf.config.list_logical_devices("GPU"))
