"""How far inference is from training where two sources take turns: python benchmarks/sources.py

Batches of N(0, 1) and of N(10, 25) train one trunk in turns. The gap is the mean distance of what the trunk's
normalisation gives for a batch in training from what it gives in inference, over the last batch of each
source, in standard deviations of the former.
"""

from __future__ import annotations

import argparse

import keras
import numpy as np

import mtlkeras
from mtlkeras.heads import Regression
from mtlkeras.trunks import MLP

KINDS = ("batch", "batch, mixed within", "batch_per_source", "group", "layer")
FEATURES, ROWS = 8, 256


def batch(number: int, rng: np.random.Generator, mixed: bool) -> dict[str, np.ndarray]:
    """Returns a batch of one source, or of both in equal shares."""
    source = np.arange(ROWS) % 2 if mixed else np.full(ROWS, number)
    x = rng.normal(10.0 * source, 1.0 + 4.0 * source, (FEATURES, ROWS)).T
    return {"x": x.astype("float32"), "source": source}


def gap(kind: str, steps: int, seed: int = 0) -> float:
    """Returns the gap after some steps of training."""
    keras.utils.set_random_seed(seed)
    normalization, mixed = kind.split(",")[0], "mixed" in kind
    by_source = normalization == "batch_per_source"
    inputs = {"x": keras.Input((FEATURES,), name="x")}
    if by_source:
        inputs["source"] = keras.Input((), dtype="int32", name="source")
    trunk = MLP(depth=1, width=32, normalization=normalization, sources=2 if by_source else None)
    model = mtlkeras.build_model(inputs, trunk, {"y": Regression()})
    model.compile(keras.optimizers.SGD(1e-3))
    rng, distances = np.random.default_rng(seed), []
    for step in range(steps):
        x = batch(step % 2, rng, mixed)
        given = {name: x[name] for name in inputs}
        if step >= steps - 2:
            # What the normalisation itself gives: ReLU would hide half of a gap.
            before = keras.Model(model.trunk.inputs, model.trunk.get_layer("hidden_1_norm").output)
            flat = [given[tensor.name] for tensor in model.trunk.inputs]
            inference = np.asarray(before(flat, training=False))
            training = np.asarray(before(flat, training=True))
            distances.append(np.abs(training - inference).mean() / training.std())
        model.train_on_batch(given, {"y": x["x"].mean(axis=1)})
    return float(np.mean(distances))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()
    print(f"python benchmarks/sources.py --steps {options.steps}  ({keras.backend.backend()})")
    for kind in KINDS:
        print(f"{kind:22} gap {gap(kind, options.steps):.3f}")


if __name__ == "__main__":
    main()
