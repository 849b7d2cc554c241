"""The synthetic tasks of Ma et al. 2018, section 3: a mixture of experts against a shared bottom as large.

    python benchmarks/mmoe_synthetic.py --out FILE [--seeds 10] [--correlations 0.5 0.9 1.0] [--epochs 40]
                                        [--schemes shared_bottom mmoe] [--picture FILE]

Two regression tasks of x in R^100, y_k = w_k x + sum over i of sin(a_i w_k x + b_i) + noise of variance
0.01, whose weights w_k have the cosine similarity that is the correlation. Chosen here: w of unit length, six
sines, a_i and b_i normal, drawn for each seed. The mixture has eight experts of 16 units and a gate a task,
both models have towers of 8 units, and the shared bottom has the units that give it no fewer weights than the
mixture. 10,000 examples for training and 2,000 for validation, labels in units of their standard deviation;
Adam at 0.001, batches of 128.

Each run is appended to the file of JSON lines when it ends, and one that is there is not run again; the
picture and the table are of all that is in it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import mtlkeras

DIMENSIONS, SINES, TRAIN, VALID, BATCH = 100, 6, 10_000, 2_000, 128
EXPERTS, UNITS, TOWER, RATE = 8, 16, 8, 1e-3
SCHEMES = ("shared_bottom", "mmoe")
TASKS = ("a", "b")
LABELS = {"shared_bottom": "shared bottom", "mmoe": "MMoE"}


def tasks(correlation: float, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns inputs and standardised labels."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(DIMENSIONS, 2)))[0].T
    weights = basis[0], correlation * basis[0] + np.sqrt(1 - correlation**2) * basis[1]
    slopes, shifts = rng.normal(size=(2, SINES))
    x = rng.normal(size=(TRAIN + VALID, DIMENSIONS))
    y = {}
    for task, w in zip(TASKS, weights, strict=True):
        linear = x @ w
        values = linear + np.sin(linear[:, None] * slopes + shifts).sum(axis=1)
        values += rng.normal(0.0, 0.1, len(x))
        y[task] = ((values - values.mean()) / values.std()).astype("float32")
    return x.astype("float32"), y


def build(scheme: str) -> mtlkeras.MultiTaskModel:
    """Returns the model of a scheme."""
    heads = {task: mtlkeras.heads.Regression(hidden=(TOWER,)) for task in TASKS}
    if scheme == "mmoe":
        trunk = mtlkeras.trunks.MLP(depth=1, width=UNITS)
        sharing = mtlkeras.sharing.MMoE(experts=EXPERTS, log_gates=True)
        return mtlkeras.build_model((DIMENSIONS,), trunk, heads, sharing=sharing)
    return mtlkeras.build_model((DIMENSIONS,), mtlkeras.trunks.MLP(depth=1, width=equal_width()), heads)


def equal_width() -> int:
    """Returns the units of a shared bottom with at least as many weights as the mixture."""
    mixture = EXPERTS * UNITS * (DIMENSIONS + 1) + len(TASKS) * EXPERTS * (DIMENSIONS + 1)
    mixture += len(TASKS) * TOWER * UNITS
    return -(-mixture // (DIMENSIONS + 1 + len(TASKS) * TOWER))


def run(scheme: str, correlation: float, seed: int, epochs: int) -> dict:
    """Trains one model; returns what it was and the validation losses by epoch."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    x, y = tasks(correlation, seed)
    model = build(scheme)
    model.compile(keras.optimizers.Adam(RATE), jit_compile=True, steps_per_execution=TRAIN // BATCH)
    train = {task: values[:TRAIN] for task, values in y.items()}
    valid = {task: values[TRAIN:] for task, values in y.items()}
    start = time.perf_counter()
    history = model.fit(
        x[:TRAIN],
        train,
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(x[TRAIN:], valid),
        validation_batch_size=VALID,
        verbose=0,
    ).history
    logged = {n: v for n, v in history.items() if n.startswith("val_") and n.endswith(("_loss", "_entropy"))}
    return {
        **{"scheme": scheme, "correlation": correlation, "seed": seed, "epochs": epochs},
        **{"weights": model.count_params(), "seconds": round(time.perf_counter() - start, 1)},
        **{name: [round(float(v), 5) for v in values] for name, values in logged.items()},
    }


def key(result: dict) -> tuple:
    return result["scheme"], result["correlation"], result["seed"], result["epochs"]


def read(path: Path) -> list[dict]:
    """Returns the runs of a file; a line that was cut off counts as none."""
    results = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return results


def curves(results: list[dict], scheme: str, correlation: float) -> np.ndarray:
    """Returns the mean validation loss of both tasks, shape `(seeds, epochs)`."""
    chosen = [r for r in results if (r["scheme"], r["correlation"]) == (scheme, correlation)]
    return np.array([np.mean([r[f"val_{task}_loss"] for task in TASKS], axis=0) for r in chosen])


def table(results: list[dict], correlations: list[float]) -> None:
    """Prints the last validation loss of each scheme with its standard error over the seeds."""
    print(f"{'correlation':>11}  {'scheme':<13}  {'weights':>7}  {'seeds':>5}  {'loss':>15}  {'seconds':>7}")
    for correlation in correlations:
        for scheme in SCHEMES:
            chosen = [r for r in results if (r["scheme"], r["correlation"]) == (scheme, correlation)]
            if not chosen:
                continue
            last = curves(results, scheme, correlation)[:, -1]
            error = last.std(ddof=1) / np.sqrt(len(last)) if len(last) > 1 else float("nan")
            seconds = np.median([r["seconds"] for r in chosen])
            print(
                f"{correlation:>11}  {scheme:<13}  {chosen[0]['weights']:>7,}  {len(last):>5}  "
                f"{last.mean():.4f} ± {error:.4f}  {seconds:>7.1f}"
            )


def picture(path: Path, results: list[dict], correlations: list[float]) -> None:
    """Draws the validation losses over the epochs, a panel a correlation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(correlations), 3), layout="constrained")
    axes = figure.subplots(1, len(correlations), sharey=True, squeeze=False)[0]
    colours = {"shared_bottom": "#D55E00", "mmoe": "#0072B2"}
    for axis, correlation in zip(axes, correlations, strict=True):
        for scheme, colour in colours.items():
            values = curves(results, scheme, correlation)
            if not len(values):
                continue
            epochs = np.arange(1, values.shape[1] + 1)
            mean, spread = values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))
            axis.plot(epochs, mean, color=colour, label=f"{LABELS[scheme]}, mean of {len(values)}")
            axis.fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        axis.set_title(f"correlation {correlation:g}", loc="left", fontsize=10)
        axis.set_xlabel("epoch", fontsize=8)
        axis.set_yscale("log")
        axis.grid(alpha=0.3, which="both")
        axis.tick_params(labelsize=8, which="both")
    axes[0].set_ylabel("validation loss, mean of both tasks", fontsize=8)
    axes[0].legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="file of results, a JSON object a line")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--correlations", type=float, nargs="+", default=[0.5, 0.9, 1.0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--schemes", nargs="+", choices=SCHEMES, default=list(SCHEMES))
    parser.add_argument("--picture", type=Path, help="where to write the picture")
    given = parser.parse_args()
    done = {key(result) for result in read(given.out)}
    for seed in range(given.seeds):
        for correlation in given.correlations:
            for scheme in given.schemes:
                if (scheme, correlation, seed, given.epochs) in done:
                    continue
                result = run(scheme, correlation, seed, given.epochs)
                with given.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result) + "\n")
                print(f"{scheme} {correlation} seed {seed}: {result['seconds']} s", flush=True)
    results = [result for result in read(given.out) if result["epochs"] == given.epochs]
    table(results, given.correlations)
    if given.picture is not None:
        picture(given.picture, results, given.correlations)


if __name__ == "__main__":
    main()
