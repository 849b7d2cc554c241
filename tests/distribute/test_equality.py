"""Training on several devices equals training on one, on the same global batches."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distribute import cases

ROOT = Path(__file__).resolve().parents[2]


# The others of their kind are slow for what they add.
FAST = ("uneven",)
CASES = [pytest.param(c, marks=() if c in FAST else pytest.mark.slow) for c in cases.CASES]


def mirrored():
    import tensorflow as tf

    # Collectives of differently shaped models cannot follow each other in one process.
    reduction = tf.distribute.ReductionToOneDevice()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", CASES)
def test_two_replicas_equal_one_device(case):
    alone = cases.run(case, contextlib.nullcontext)
    largest = cases.assert_equal(cases.run(case, mirrored().scope), alone, case)
    print(f"mirrored {case}: {largest:.1e}")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_replicas_see_the_pipeline_of_one_device():
    alone = cases.run_from_files(contextlib.nullcontext)
    cases.assert_equal(cases.run_from_files(mirrored().scope), alone, "files")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_replicas_go_through_phases_as_one_device_does():
    alone = cases.run_in_phases(contextlib.nullcontext)
    cases.assert_equal(cases.run_in_phases(mirrored().scope), alone, "phases")


def _start(path, strategy, *names, **environment):
    command = [sys.executable, "-W", "ignore", "-m", "tests.distribute.cases", str(path), strategy, *names]
    given = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    given.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.Popen(
        command, cwd=ROOT, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _wait(process):
    output, _ = process.communicate(timeout=900)
    assert process.returncode == 0, output[-3000:]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_workers_equal_one_device(tmp_path):
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        processes.append(
            _start(
                tmp_path / f"{index}.npz",
                "multi_worker",
                *cases.CASES,
                TF_CONFIG=json.dumps(config),
                KERAS_BACKEND="tensorflow",
            )
        )
    for process in processes:
        _wait(process)
    results = [cases.read(tmp_path / f"{index}.npz") for index in range(2)]
    for case in cases.CASES:
        alone = cases.run(case, contextlib.nullcontext)
        for found in results:
            largest = cases.assert_equal(found[case], alone, case)
        print(f"multi_worker {case}: {largest:.1e}")
    alone = cases.run_from_files(contextlib.nullcontext)
    for found in results:
        cases.assert_equal(found["files"], alone, "files")


@pytest.mark.slow  # In short in test_jax_batches.py.
@pytest.mark.tensorflow  # Once in a run of all tests, whatever their backend is.
def test_two_jax_devices_equal_one(tmp_path):
    pytest.importorskip("jax")
    # As for all tests on JAX, compiling is what costs.
    flags = "--xla_force_host_platform_device_count=2 --xla_cpu_use_fusion_emitters=false"
    path = tmp_path / "jax.npz"
    environment = {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    _wait(_start(path, "jax", *cases.CASES, **environment))
    results = cases.read(path)
    for case in cases.CASES:
        # The programs for one device and for two are compiled apart; solvers enlarge what they round.
        largest = cases.assert_equal(results[case], results[f"alone_{case}"], case, times=10)
        print(f"jax {case}: {largest:.1e}")
