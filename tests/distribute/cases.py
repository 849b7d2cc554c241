"""Trainings whose weights and logs must not depend on the number of devices.

`python -m tests.distribute.cases FILE STRATEGY CASE...` runs them and writes what came out, for tests to
compare.
"""

from __future__ import annotations

import contextlib
import sys

import keras
import numpy as np

import mtlkeras
from mtlkeras import balancers
from tests.sharing.schemes import SCHEMES as ALL_SCHEMES
from tests.support import TinyStages, examples, tiny_model

EPOCHS, BATCH = 3, 12


def sgd(**clip):
    return lambda: keras.optimizers.SGD(0.3, momentum=0.9, **clip)


def slow_sgd():
    return keras.optimizers.SGD(0.03, momentum=0.9)


def adam(**clip):
    return lambda: keras.optimizers.Adam(0.01, **clip)


def scaled(**clip):
    return lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01, **clip), initial_scale=64.0
    )


# Optimizer, number of examples, share of missing labels.
CASES = {
    "plain": (sgd(), 24, 0.0),
    "adam": (adam(), 24, 0.0),
    "missing": (sgd(), 24, 0.5),
    "uneven": (sgd(), 23, 0.5),
    "clipnorm": (sgd(clipnorm=0.05), 23, 0.5),
    "clipvalue": (sgd(clipvalue=0.02), 23, 0.5),
    "global_clipnorm": (sgd(global_clipnorm=0.1), 23, 0.5),
    "adam_clipped": (adam(global_clipnorm=0.1), 23, 0.5),
    "scaled_clipped": (scaled(global_clipnorm=0.1), 23, 0.5),
}

BALANCERS = {
    "uncertainty": balancers.Uncertainty(),
    "dwa": balancers.DWA(),
    "rlw": balancers.RLW(seed=3),
    "gls": balancers.GLS(),
    "famo": balancers.FAMO(),
    "famo_next": balancers.FAMO(second_pass=False),
    "stch": balancers.STCH(),
    "imtl_l": balancers.IMTLL(),
    "cosmos": balancers.COSMOS(),
    "go4align": balancers.GO4Align(),
    "igb": balancers.IGB(base_epoch=1),
    "ldc_mtl": balancers.LDCMTL(),
    "uw_so": balancers.UWSO(),
    "fixed": balancers.Fixed({"kind": 2.0, "size": 0.5}),
}
for _level in ("representation", "parameters"):
    for _name in ("MGDA", "CAGrad", "IMTLG", "NashMTL", "AlignedMTL", "FairGrad", "ConFIG", "GradNorm"):
        BALANCERS[f"{_name}_{_level}"] = getattr(balancers, _name)(at=_level)
    BALANCERS[f"CRMOGM_{_level}"] = balancers.CRMOGM(at=_level, balancer=balancers.CAGrad())
    for _name in ("UPGrad", "DualProj"):
        BALANCERS[f"{_name}_{_level}"] = getattr(balancers, _name)(at=_level, every=2)
    for _name in ("PCGrad", "GradVac"):
        BALANCERS[f"{_name}_{_level}"] = getattr(balancers, _name)(at=_level, seed=3)
for _name in ("DBMTL", "MoCo", "ExcessMTL", "MoDo", "SDMGrad"):
    BALANCERS[_name] = getattr(balancers, _name)()
BALANCERS["GradDrop"] = balancers.GradDrop(seed=3)
CASES.update(dict.fromkeys(BALANCERS, (sgd(), 23, 0.5)))
# A mixture of experts.
BALANCERS["mmoe"] = balancers.CAGrad(at="parameters")
CASES["mmoe"] = (sgd(), 23, 0.5)
# Every sharing scheme. Statistics of batches are those of a replica; over as few features as here a layer
# normalisation is near a step function, which enlarges rounding.
SCHEMES = {
    f"sharing_{number}_{type(scheme).__name__}": (
        scheme.replace(normalization=None) if "normalization" in scheme.field_names() else scheme
    )
    for number, scheme in enumerate(ALL_SCHEMES)
}
CASES.update(dict.fromkeys(SCHEMES, (sgd(), 23, 0.5)))
# Tasks that depend on each other.
CASES["chain"] = (sgd(), 23, 0.5)
# Their weights come from matrices near singularity, by which rounding grows.
CASES["FairGrad_parameters"] = (slow_sgd, 23, 0.5)
# With half of the labels missing its weights add up to 1 out of terms beyond 100.
CASES["IMTLG_parameters"] = (slow_sgd, 23, 0.3)
CASES["MGDA_parameters"] = CASES["CAGrad_representation"] = CASES["scaled_clipped"]


def run(case, scope):
    """Trains a case; returns weights by number and logs by name."""
    optimizer, count, missing = CASES[case]
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    x, y = examples(count, missing=missing, seed=1)
    y["kind"][:6] = -1  # The first replica's part of the first batch has no label for `kind`.
    weight = {"size": np.random.default_rng(2).random(count).astype("float32")}
    # JAX wants the fit within the scope as well.
    with scope():
        model = tiny_model(
            l2=0.01,
            **_parts(case),
            optimizer=optimizer(),
            loss_weights={"kind": 2.0},
            balancer=BALANCERS.get(case),
        )
        fit = {"batch_size": BATCH, "epochs": EPOCHS, "shuffle": False, "verbose": 0, "sample_weight": weight}
        if case in BALANCERS:  # Which take part in training only.
            return _packed(model, model.fit(x, y, **fit).history, {})
        history = model.fit(x, y, **fit).history
        logs = model.evaluate(x, y, batch_size=BATCH, verbose=0, return_dict=True)
        outputs = model.predict(x, batch_size=BATCH, verbose=0)
    return _packed(model, {**history, **{f"end_{k}": v for k, v in logs.items()}}, outputs)


def _parts(case):
    """Returns what the model of a case is made of that others are not."""
    if case == "mmoe":
        return {"sharing": mtlkeras.sharing.MMoE(experts=2, log_gates=True)}
    if case in SCHEMES:
        return {"sharing": SCHEMES[case], "trunk": TinyStages(l2=0.01)}
    if case == "chain":
        tree = (("kind", "grade"), ("kind", "marks/red"), ("marks/red", "marks/blue"))
        tasks = ("kind", "grade", "marks")
        metrics = [
            mtlkeras.metrics.JointLogLikelihood(tasks),
            mtlkeras.metrics.HammingLoss(tasks, joint=True),
        ]
        return {"dependence": mtlkeras.dependence.TaskChain(tree=tree), "joint_metrics": metrics}
    return {}


def run_from_files(scope):
    """Trains from a shuffled, augmented `mtlkeras.data` pipeline of odd batches."""
    import tensorflow as tf

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    x, y = examples(23, missing=0.3, seed=1)
    tasks = {task: task for task in y}
    data = mtlkeras.data.load(
        {"image": x, **{t: v[:, 0] if v.ndim == 2 else v for t, v in y.items()}},
        {"kind": tasks["kind"], "grade": tasks["grade"]},
        "image",
        batch_size=7,
        shuffle=True,
        seed=5,
    )

    def shift(images, labels, seed):
        return images + tf.random.stateless_normal((), [seed, 0], stddev=0.1), labels

    data = mtlkeras.data.augment(data, shift, seed=5)
    heads = {
        "kind": mtlkeras.heads.Classification(3),
        "grade": mtlkeras.heads.Ordinal(4),
    }
    with scope():
        model = tiny_model(heads, optimizer=keras.optimizers.SGD(0.3, momentum=0.9))
    history = model.fit(data, epochs=EPOCHS, verbose=0).history
    return _packed(model, history, {})


def run_in_phases(scope):
    """Trains the trunk first, then each head, one of them with a balancer."""
    from mtlkeras.training import Phase, fit_phases

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    x, y = examples(23, missing=0.5, seed=1)
    phases = [
        Phase("all", 2, balancer=balancers.CAGrad(at="parameters")),
        Phase("kind", 1, optimizer=keras.optimizers.Adam(0.01)),
        Phase(("size", "marks", "grade"), 2, loss_weights={"size": 0.5}),
    ]
    with scope():
        model = tiny_model(l2=0.01, optimizer=keras.optimizers.SGD(0.3, momentum=0.9))
        history = fit_phases(model, (x, y), phases, batch_size=BATCH, shuffle=False, verbose=0).history
    return _packed(model, {k: v for k, v in history.items() if k != "phase"}, {})


def _packed(model, logs, outputs):
    kept = [] if model.balancing is None else list(model.balancing.state.values())
    weights = {
        f"{'state' if any(v is k for k in kept) else 'weight'}_{i}": keras.ops.convert_to_numpy(v)
        for i, v in enumerate(model.weights)
    }
    numbers = {f"log_{name}": np.asarray(value, "float64") for name, value in logs.items()}
    return {**weights, **numbers, **{f"output_{task}": np.asarray(v) for task, v in outputs.items()}}


def assert_equal(found, expected, case, times=1):
    """Compares with one device, up to so many times the tolerance; returns a weight's largest difference."""
    assert found.keys() == expected.keys()
    largest = 0.0
    for name, value in expected.items():
        # What a balancer remembers of losses and gradients is of their size.
        atol, rtol = (1e-6, 0) if name.startswith("weight") else (5e-6, 2e-5)
        np.testing.assert_allclose(
            found[name], value, atol=times * atol, rtol=times * rtol, err_msg=f"{case}: {name}"
        )
        if name.startswith("weight"):
            largest = max(largest, float(np.abs(found[name] - value).max()))
    return largest


def save(path, results):
    arrays = {f"{case}/{name}": value for case, found in results.items() for name, value in found.items()}
    np.savez(path, **arrays)


def read(path):
    results: dict = {}
    with np.load(path) as file:
        for key in file.files:
            case, name = key.split("/", 1)
            results.setdefault(case, {})[name] = file[key]
    return results


def _multi_worker(path, names):
    import tensorflow as tf

    options = tf.distribute.experimental.CommunicationOptions(
        implementation=tf.distribute.experimental.CommunicationImplementation.RING
    )
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    results = {case: run(case, strategy.scope) for case in names}
    results["files"] = run_from_files(strategy.scope)
    save(path, results)


def _jax(path, names):
    assert len(keras.distribution.list_devices()) == 2
    alone = {f"alone_{case}": run(case, contextlib.nullcontext) for case in names}
    both = mtlkeras.training.strategy("mirrored")
    save(path, {**alone, **{case: run(case, both.scope) for case in names}})


if __name__ == "__main__":
    {"multi_worker": _multi_worker, "jax": _jax}[sys.argv[2]](sys.argv[1], sys.argv[3:])
