"""What the solvers of the balancers take: compiled operations, and time within a graph.

    KERAS_BACKEND=jax python benchmarks/solvers.py [--methods MGDA CAGrad ...] [--tasks 2 4 8]

On JAX the operations are those of the program that XLA compiles for the weights of one Gram matrix,
a loop's as often as it runs: fusions, calls of LAPACK and what is not fused. Each is about a kernel that
a GPU would start. On TensorFlow they are the operations of the graph, those of a loop's body once. The
time is the mean over Gram matrices that follow each other in one graph.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

GRAM = (
    *("MGDA", "CAGrad", "UPGrad", "DualProj", "NashMTL", "FairGrad", "IMTLG", "AlignedMTL", "ConFIG"),
    *("PCGrad", "GradVac", "GradNorm", "CRMOGM", "MoDo", "SDMGrad"),
)
IN_A_ROW = 10
# What an XLA program holds beside what it computes.
_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast"}
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%\S+ = .*?[\])}] ([a-z-]+)\(")


def xla_operations(text: str) -> int:
    """Returns how many operations a compiled program runs, given as text."""
    bodies: dict[str, list[tuple[str, str]]] = {}
    entry, lines = "", []
    for line in text.splitlines():
        head = re.match(r"^(ENTRY )?%(\S+) \(.*\{$", line)
        if head:
            lines = bodies.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif found := _INSTRUCTION.match(line):
            lines.append((found[1], line))

    def count(name: str) -> int:
        total = 0
        for operation, line in bodies[name]:
            if operation == "while":
                rounds = int(re.search(r'known_trip_count":\{"n":"(\d+)"', line)[1])
                total += rounds * count(re.search(r"body=%([^\s,]+)", line)[1])
            elif operation == "call":
                total += count(re.search(r"to_apply=%([^\s,]+)", line)[1])
            else:
                total += operation not in _FREE
        return total

    return count(entry)


def operations(solve, gram) -> int:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return xla_operations(jax.jit(solve).lower(gram).compile().as_text())
    import tensorflow as tf

    graph = tf.function(solve, autograph=False).get_concrete_function(gram).graph.as_graph_def()
    parts = [graph.node, *(function.node_def for function in graph.library.function)]
    return sum(node.op not in ("Const", "Placeholder", "Identity", "NoOp") for part in parts for node in part)


def microseconds(solve, grams, calls: int = 60) -> float:
    import numpy as np
    from keras import ops

    from mtlkeras._backends import compiled

    def all_in_turn(grams):
        def following(i, last):
            # The next one waits for the last; a factor of zero would be simplified away.
            return solve(grams[i] + 1e-30 * last[0])

        return ops.fori_loop(0, IN_A_ROW, following, ops.ones(grams.shape[-1], "float32"))

    run, times = compiled(all_in_turn), []
    for _ in range(calls):
        start = time.perf_counter()
        np.asarray(run(grams))
        times.append((time.perf_counter() - start) / IN_A_ROW)
    return statistics.median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="Counts and times what solvers do.")
    parser.add_argument("--methods", nargs="*", default=list(GRAM))
    parser.add_argument("--tasks", type=int, nargs="*", default=[2, 4, 8])
    args = parser.parse_args()
    import numpy as np
    from keras import ops

    from mtlkeras import balancers

    print(f"$ python {' '.join(sys.argv)}")
    columns = [f"{what}, {count} tasks" for what in ("operations", "µs") for count in args.tasks]
    print(f"| method | {' | '.join(columns)} |\n|{' --- |' * (1 + len(columns))}")
    for name in args.methods:
        numbers, times = [], []
        for count in args.tasks:
            rows = np.random.default_rng(0).normal(size=(IN_A_ROW, count, 50)).astype("float32")
            grams = ops.convert_to_tensor(rows @ rows.transpose(0, 2, 1))
            solve = getattr(balancers, name)().weights
            numbers.append(f"{operations(solve, grams[0])}")
            times.append(f"{microseconds(solve, grams):.1f}")
        print(f"| {name} | {' | '.join([*numbers, *times])} |", flush=True)


if __name__ == "__main__":
    main()
