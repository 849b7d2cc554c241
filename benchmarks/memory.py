"""How much memory stays after each `fit`, of every kind: python benchmarks/memory.py

Prints for each kind of `fit` by how much the resident memory grew over so many fits of one model, after
some that are not counted. Growth is a few hundred kilobytes of noise where nothing is kept.
"""

from __future__ import annotations

import argparse
import gc

import keras
import numpy as np
import psutil

import mtlkeras
from mtlkeras import balancers
from mtlkeras.heads import Classification, Regression


def model_of(balancer=None) -> mtlkeras.MultiTaskModel:
    heads = {"kind": Classification(3), "size": Regression(2)}
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(depth=1, width=8), heads)
    model.compile("sgd", balancer=balancer)
    return model


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int):
        part = slice(32 * index, 32 * index + 32)
        return self.x[part], {task: labels[part] for task, labels in self.y.items()}


def kinds() -> dict:
    """Returns by name a function that fits once."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype("float32")
    y = {"kind": rng.integers(0, 3, 64), "size": rng.normal(size=(64, 2)).astype("float32")}
    weights = {"kind": rng.random(64).astype("float32")}

    def fits(balancer=None, data=None, **arguments):
        model = model_of(balancer)

        def fit() -> None:
            given = (x, y) if data is None else (data(),)
            model.fit(*given, batch_size=32 if data is None else None, verbose=0, **arguments)

        return fit

    def drawn():
        # Other numbers each time, as in a search.
        fit_with = model_of()
        return lambda: fit_with.fit(
            x, y, verbose=0, class_weight={"kind": {i: float(w) for i, w in enumerate(rng.random(3))}}
        )

    found = {
        "plain": fits(),
        "validation": fits(validation_data=(x, y)),
        "class weights": drawn(),
        "balanced": fits(class_weight={"kind": "balanced"}),
        "sample weights": fits(sample_weight=weights),
        "balancer by losses": fits(balancers.DWA()),
        "at the representation": fits(balancers.PCGrad(seed=0)),
        "at the parameters": fits(balancers.PCGrad(seed=0, at="parameters")),
        "PyDataset": fits(data=lambda: Batches(x, y)),
    }
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
        found["data set"] = fits(data=lambda: dataset)
    return found


def megabytes() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=50)
    parser.add_argument("--before", type=int, default=10, help="fits that are not counted")
    options = parser.parse_args()
    print(f"python benchmarks/memory.py --fits {options.fits}  ({keras.backend.backend()})")
    print(f"{'kind of fit':24}{'growth over ' + str(options.fits) + ' fits, MB':>30}")
    for name, fit in kinds().items():
        for _ in range(options.before):
            fit()
        before = megabytes()
        for _ in range(options.fits):
            fit()
        print(f"{name:24}{megabytes() - before:30.1f}", flush=True)


if __name__ == "__main__":
    main()
