"""Writes the weights that twenty steps with each balancer end with, on the backend that is set.

    KERAS_BACKEND=jax python -m tests.kept.make_steps NAME...

The numbers were made before the two mechanisms of balancing became one. Names add a case to the file or
replace it; none makes all of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np

import mtlkeras
from mtlkeras import balancers

FOLDER = Path(__file__).parent
STEPS, ROWS = 20, 8


def _cases() -> dict[str, balancers.Balancer]:
    alone = {
        "Fixed": balancers.Fixed({"kind": 2.0, "size": 0.5}),
        "RLW": balancers.RLW(seed=3),
        "GradDrop": balancers.GradDrop(seed=3),
        "FAMO next": balancers.FAMO(second_pass=False),
    }
    for name in ("Uncertainty", "DWA", "GLS", "FAMO", "STCH", "IMTLL", "COSMOS"):
        alone[name] = getattr(balancers, name)()
    for name in ("GO4Align", "IGB", "LDCMTL", "UWSO"):
        alone[name] = getattr(balancers, name)()
    for name in ("DBMTL", "MoCo", "ExcessMTL", "MoDo", "SDMGrad"):
        alone[name] = getattr(balancers, name)()
    for at in ("representation", "parameters"):
        for name in ("PCGrad", "GradVac"):
            alone[f"{name} {at}"] = getattr(balancers, name)(at=at, seed=3)
        for name in (
            "MGDA", "CAGrad", "IMTLG", "NashMTL", "FairGrad", "AlignedMTL", "UPGrad", "DualProj", "ConFIG",
            "GradNorm",
        ):  # fmt: skip
            alone[f"{name} {at}"] = getattr(balancers, name)(at=at)
        alone[f"CRMOGM {at}"] = balancers.CRMOGM(at=at, balancer=balancers.CAGrad())
        alone[f"CAGrad {at} every 3"] = balancers.CAGrad(at=at, every=3)
    alone["PCGrad parameters half"] = balancers.PCGrad(at="parameters", seed=3, gram_fraction=0.5)
    return alone


CASES = _cases()


def numbers_after(name: str) -> list[float]:
    """Trains a linear trunk with two heads for some steps; returns its weights in a row."""
    rng = np.random.default_rng(5)
    inputs = keras.Input((4,), name="x")
    body = keras.Model(inputs, keras.layers.Dense(3, activation="tanh", name="shared")(inputs))
    model = mtlkeras.build_model(
        keras.Input((4,), name="x"),
        body,
        {"kind": mtlkeras.heads.Classification(3), "size": mtlkeras.heads.Regression()},
    )
    weights = model.trainable_weights
    for weight in weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape).astype("float32"))
    model.compile(keras.optimizers.SGD(0.05), balancer=CASES[name])
    x = rng.normal(size=(STEPS * ROWS, 4)).astype("float32")
    y = {"kind": rng.integers(-1, 3, len(x)), "size": rng.normal(size=len(x)).astype("float32")}
    y["size"][3::5] = np.nan
    y["kind"][2 * ROWS : 3 * ROWS] = mtlkeras.MISSING  # A batch without labels of a task.
    model.fit(x, y, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)
    return [float(f"{v:.9g}") for w in weights for v in keras.ops.convert_to_numpy(w).ravel()]


def path() -> Path:
    return FOLDER / f"steps_{keras.backend.backend()}.json"


def main() -> None:
    kept = json.loads(path().read_text()) if path().exists() else {}
    for name in sys.argv[1:] or CASES:
        kept[name] = numbers_after(name)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in kept.items())
    path().write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
