"""JAX devices share batches of any size, and give the weights of one device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow  # A process of its own.
@pytest.mark.tensorflow  # Once in a run of all tests, whatever their backend is.
def test_batches_that_two_devices_do_not_divide():
    pytest.importorskip("jax")
    # As for all tests on JAX, compiling is what costs.
    flags = "--xla_force_host_platform_device_count=2 --xla_cpu_use_fusion_emitters=false"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    command = [sys.executable, "-m", "tests.distribute.jax_batches"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(found)
    assert found.pop("parts") == [2, 2]  # Four rows, two on each device.
    # Batch normalisation magnifies the rounding of sums that devices add up in another order.
    tolerances = {"odd_batches": 1e-6, "batch_norm": 1e-5}
    assert {case for case, value in found.items() if value > tolerances[case]} == set()
