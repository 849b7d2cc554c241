"""The two-objective problem of the PCGrad and CAGrad papers: who reaches the Pareto front?

    python benchmarks/toy_problem.py [--steps 40000] [--methods PCGrad ...] [--out FILE.png]

Two parameters, two objectives, each with a steep valley in the upper half of the plane and a bowl
in the lower half (Yu et al. 2020, figure 1; Liu et al. 2021, appendix); the first counts a tenth.
Adam with a learning rate of 0.001 follows the weighted gradients from five starts. The script
prints where each method ends and draws the paths; with KERAS_BACKEND=jax it takes a tenth of the time.
"""

from __future__ import annotations

import argparse
import os
import sys

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

METHODS = ("PCGrad", "CAGrad", "MGDA", "IMTLG", "NashMTL", "UPGrad", "AlignedMTL")
STARTS = ((-8.5, 7.5), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0), (0.0, 0.0))
SCALE = 0.1
_LEAST = 5e-6


def losses_and_gradients(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the two objectives at a point and their gradients as rows."""
    a, b = x
    up, down = np.tanh(0.5 * b), np.tanh(-0.5 * b)
    # Weights of the upper and the lower half, zero in the other one.
    upper, d_upper = max(up, 0.0), np.array([0.0, 0.5 * (1 - up**2)]) * (up > 0)
    lower, d_lower = max(down, 0.0), np.array([0.0, -0.5 * (1 - down**2)]) * (down > 0)
    values, slopes = [], []
    for sign in (1.0, -1.0):
        inner = 0.5 * (sign * -a - 7.0) - np.tanh(-b)
        d_inner = np.array([-0.5 * sign, 1 - np.tanh(-b) ** 2])
        size = max(abs(inner), _LEAST)
        valley = np.log(size) + 6.0
        d_valley = d_inner * np.sign(inner) / size if abs(inner) > _LEAST else np.zeros(2)
        # The shared floor of the lower half; its centre is to one side for each objective.
        bowl = ((-a + sign * 7.0) ** 2 + 0.1 * (-b - 8.0) ** 2) / 10.0 - 20.0
        d_bowl = np.array([-2 * (-a + sign * 7.0), -0.2 * (-b - 8.0)]) / 10.0
        values.append(valley * upper + bowl * lower)
        slopes.append(d_valley * upper + valley * d_upper + d_bowl * lower + bowl * d_lower)
    values[0], slopes[0] = SCALE * values[0], SCALE * slopes[0]
    return np.array(values), np.stack(slopes)


def descend(weigh, start, steps: int, rate: float = 0.001) -> np.ndarray:
    """Returns the path of Adam along the gradients weighted by `weigh(gram, losses)`."""
    x, path = np.array(start, "float64"), []
    mean, square = np.zeros(2), np.zeros(2)
    for step in range(1, steps + 1):
        values, rows = losses_and_gradients(x)
        path.append([*x, *values])
        update = weigh(rows @ rows.T, values) @ rows
        mean, square = 0.9 * mean + 0.1 * update, 0.999 * square + 0.001 * update**2
        x = x - rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return np.array(path)


def weigher(name: str | None):
    """Returns what gives a balancer's weights; with `None` all weigh 1."""
    if name is None:
        return lambda gram, losses: np.ones(2)
    import keras

    from mtlkeras import balancers

    solve = getattr(balancers, name)().weights
    if keras.backend.backend() == "jax":
        import jax

        solve = jax.jit(solve)
    else:
        import tensorflow as tf

        solve = tf.function(solve, autograph=False, reduce_retracing=True)
    return lambda gram, losses: np.asarray(solve(keras.ops.convert_to_tensor(gram, "float32")), "float64")


def above_front(x: np.ndarray) -> float:
    """Returns how far a point is from the Pareto set, the segment from (-7, -8) to (7, -8)."""
    nearest = np.array([np.clip(x[0], -7.0, 7.0), -8.0])
    return float(np.linalg.norm(x - nearest))


def draw(paths: dict[str, list[np.ndarray]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    grid = np.linspace(-11, 11, 160)
    joint = np.array([[losses_and_gradients(np.array([a, b]))[0].sum() for a in grid] for b in grid])
    figure, axes = pyplot.subplots(2, (len(paths) + 1) // 2, figsize=(14, 7), sharex=True, sharey=True)
    for axis, (name, found) in zip(axes.flat, paths.items(), strict=False):
        axis.contour(grid, grid, joint, levels=25, colors="0.8", linewidths=0.6)
        axis.plot([-7, 7], [-8, -8], color="0.4", linewidth=3, label="Pareto set")
        for one in found:
            axis.plot(one[:, 0], one[:, 1], linewidth=1.2)
            axis.plot(*one[0, :2], "ko", markersize=4)
            axis.plot(*one[-1, :2], "k*", markersize=8)
        axis.set_title(name)
    for axis in list(axes.flat)[len(paths) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description="Descends on the toy problem with several balancers.")
    parser.add_argument("--steps", type=int, default=40000)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--out", help="where to draw the paths")
    args = parser.parse_args()
    print(f"$ python {' '.join(sys.argv)}")
    print("| method | start | end | f1 | f2 | from the Pareto set |\n| --- | --- | --- | --- | --- | --- |")
    paths: dict[str, list[np.ndarray]] = {}
    for name in (None, *args.methods):
        title = name or "sum of losses"
        paths[title] = []
        for start in STARTS:
            found = descend(weigher(name), start, args.steps)
            paths[title].append(found[:: max(args.steps // 1000, 1)])
            a, b, first, second = found[-1]
            cells = f"{title} | {start} | {a:.2f}, {b:.2f} | {first:.2f} | {second:.2f}"
            print(f"| {cells} | {above_front(found[-1, :2]):.2f} |", flush=True)
    if args.out:
        draw(paths, args.out)


if __name__ == "__main__":
    main()
