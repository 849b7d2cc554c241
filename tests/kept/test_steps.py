"""Twenty steps with each balancer end where they ended before the house was rebuilt."""

import json
import os

import keras
import numpy as np
import pytest

from tests.kept.make_steps import CASES, numbers_after, path

QUICK = ("FAMO", "CAGrad representation", "PCGrad parameters", "GradDrop", "MoDo")
KEPT = json.loads(path().read_text())
# The numbers of JAX are of programs compiled with few optimisations and fused as by default; others round
# otherwise.
AS_KEPT = keras.backend.backend() != "jax" or (
    "JAX_DISABLE_MOST_OPTIMIZATIONS" in os.environ
    and "fusion_emitters" not in os.environ.get("XLA_FLAGS", "")
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES]
)
def test_steps_end_where_they_did(name):
    np.testing.assert_allclose(numbers_after(name), KEPT[name], rtol=1e-6, atol=1e-6 if AS_KEPT else 1e-5)
