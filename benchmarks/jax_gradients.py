"""JAX: a plain step, one balanced at the representation, and two ways to the gradients of the parameters.

    python benchmarks/jax_gradients.py [--tasks 2 8] [--batch 256] [--repeats 7] [--steps 20]

The step of a residual trunk of about a million parameters (ResNet of depth 8 and width 56 on 16x16x1) with
one class head of ten a task, compiled, without what `fit` does around it. Of the gradients of the parameters
`loop` is what mtlkeras does, one pullback after the other; `vectorised` is one pullback under `jax.vmap`. All
take turns; the numbers are medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import balancers
import jax
import numpy as np
from jax import numpy as jnp
from overhead import task_names

from mtlkeras._backends.jax.passes import Pass

LOOP = Pass.by_task


def vectorised(self) -> list:
    count = self.losses.shape[0]
    seeds = self.scale * jnp.eye(count, count + 1)
    stacks = jax.vmap(lambda seed: self._pull(seed)[0])(seeds)
    return [[stack[task] for stack in stacks] for task in range(count)]


def step_timer(count: int, level: str | None, by_task: Callable, batch: int, steps: int):
    """Returns a function that gives the milliseconds of a step."""
    Pass.by_task = by_task
    tasks = task_names(count)
    model = balancers.make_model(tasks, balancers.make_balancer("MGDA", level) if level else None)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *balancers.SHAPE)).astype("float32")
    labels = {task: rng.integers(0, balancers.CLASSES, batch).astype("int32") for task in tasks}
    model.fit(images, labels, batch_size=batch, verbose=0)  # Makes the optimizer's variables.
    kinds = ("trainable", "non_trainable", "optimizer", "metrics")
    state = model._get_jax_state(**{f"{kind}_variables": True for kind in kinds})
    step = jax.jit(model.train_step, donate_argnums=0)
    now, data = [jax.tree.map(jnp.copy, state)], jax.device_put((images, labels))

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            _, now[0] = step(now[0], data)
        jax.block_until_ready(now[0])
        return (time.perf_counter() - start) / steps * 1e3

    timed()  # Compiles.
    return timed


def main() -> None:
    parser = argparse.ArgumentParser(description="Times ways to the tasks' gradients on JAX.")
    parser.add_argument("--tasks", type=int, nargs="*", default=[2, 8])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    print(f"$ python {' '.join(sys.argv)}  # {jax.devices()[0].device_kind}")
    print("| tasks | step | ms | over plain |\n| --- | --- | --- | --- |")
    ways = {
        "plain": (None, LOOP),
        "representation": ("representation", LOOP),
        "parameters, loop": ("parameters", LOOP),
        "parameters, vectorised": ("parameters", vectorised),
    }
    for count in args.tasks:
        timers = {name: step_timer(count, *way, args.batch, args.steps) for name, way in ways.items()}
        found: dict[str, list[float]] = {name: [] for name in timers}
        for _ in range(args.repeats):
            for name, timed in timers.items():
                found[name].append(timed())
        medians = {name: statistics.median(times) for name, times in found.items()}
        for name, median in medians.items():
            print(f"| {count} | {name} | {median:.2f} | {median / medians['plain']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
