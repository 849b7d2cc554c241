"""What balancing by gradients costs in mtlkeras, LibMTL and TorchJD, each over its own plain step.

    python benchmarks/balancer_peers.py [--tasks 2 4 8] [--methods PCGrad MGDA ...] [--repeats 7] [--steps 8]
                                        [--levels parameters representation] [--cpu] [--memory]

The same network in all three, a residual trunk of about a million parameters (depth 8, width 56) on
16x16x1 with a class head of ten a task, batch 32, Adam; as many threads. All take turns, so that what else
the machine does hits them all; a ratio is the median over the repeats of a balanced over a plain epoch. What
is not installed is left out (`pip install torch "torchjd[full]==0.18.0"` and, without its old torchvision,
`pip install --no-deps LibMTL==1.1.5`). With --memory each trains in a process of its own, and what that
grows by from before the model is made is compared.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from balancers import BATCH, CLASSES, SHAPE, epoch_timer, make_balancer, make_batches, make_model
from overhead import task_names

WIDTH, BLOCKS = 56, 3
# By our name: that of LibMTL with its settings, and that of TorchJD. LibMTL's CAGrad takes three tasks only.
LIBMTL = {
    "PCGrad": ("PCGrad", {}),
    "GradVac": ("GradVac", {"beta": 0.5}),
    "MGDA": ("MGDA", {"mgda_gn": "none"}),
    "IMTLG": ("IMTL", {}),
}
TORCHJD = (
    "PCGrad",
    "GradVac",
    "MGDA",
    "CAGrad",
    "IMTLG",
    "NashMTL",
    "AlignedMTL",
    "UPGrad",
    "DualProj",
    "FairGrad",
    "ConFIG",
)
OF_REPRESENTATION = ("MGDA", "IMTLG")  # What LibMTL offers there, of these.


def torch_trunk():
    """Returns the trunk of `balancers.make_model` in PyTorch."""
    import torch

    class Block(torch.nn.Module):
        def __init__(self, given: int, width: int, stride: int) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.Conv2d(given, width, 3, stride, 1, bias=False),
                torch.nn.BatchNorm2d(width),
                torch.nn.ReLU(),
                torch.nn.Conv2d(width, width, 3, 1, 1, bias=False),
                torch.nn.BatchNorm2d(width),
            )
            self.short = torch.nn.Identity()
            if stride > 1:
                self.short = torch.nn.Sequential(
                    torch.nn.Conv2d(given, width, 1, stride, bias=False), torch.nn.BatchNorm2d(width)
                )

        def forward(self, x):
            return torch.relu(self.body(x) + self.short(x))

    layers = [
        torch.nn.Conv2d(SHAPE[-1], WIDTH, 3, 1, 1, bias=False),
        torch.nn.BatchNorm2d(WIDTH),
        torch.nn.ReLU(),
    ]
    width = WIDTH
    for number in range(BLOCKS):
        layers.append(Block(width, WIDTH * 2**number, 1 if number == 0 else 2))
        width = WIDTH * 2**number
    return torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


def torch_heads(tasks: list[str]):
    import torch

    return torch.nn.ModuleDict({task: torch.nn.Linear(WIDTH * 2 ** (BLOCKS - 1), CLASSES) for task in tasks})


def torch_epochs(
    trunk, heads, tasks: list[str], steps: int, clock, backward: Callable
) -> Callable[[], float]:
    """Returns a function that gives the milliseconds of a step.

    Args:
        backward: Called with batch and labels; leaves gradients in all parameters.
    """
    import torch

    random = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.randn((BATCH, SHAPE[-1], *SHAPE[:2]), generator=random),
            {task: torch.randint(CLASSES, (BATCH,), generator=random) for task in tasks},
        )
        for _ in range(steps)
    ]
    optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()])

    def timed() -> float:
        start = clock()
        for x, y in batches:
            optimizer.zero_grad()
            backward(x, y)
            optimizer.step()
        return (clock() - start) / steps * 1e3

    timed()
    return timed


def plain_torch(tasks: list[str], steps: int, clock) -> Callable[[], float]:
    import torch

    trunk, heads = torch_trunk(), torch_heads(tasks)

    def backward(x, y) -> None:
        features = trunk(x)
        sum(torch.nn.functional.cross_entropy(heads[task](features), y[task]) for task in tasks).backward()

    return torch_epochs(trunk, heads, tasks, steps, clock, backward)


def libmtl(name: str, level: str, tasks: list[str], steps: int, clock) -> Callable[[], float]:
    import torch

    without_models_of_libmtl()
    from LibMTL import weighting
    from LibMTL.architecture import HPS

    method, settings = LIBMTL[name]
    # It writes into the gradients, which PyTorch since 2.0 takes away when they are set to zero.
    keep = {"zero_grad_share_params": lambda self: self.encoder.zero_grad(set_to_none=False)}
    cls = type("Balanced", (HPS, getattr(weighting, method)), keep)
    heads = torch_heads(tasks)
    of_representation = level == "representation"

    class Trunk(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch_trunk()

        def forward(self, x):
            found = self.layers(x)
            # By a list it is told that all tasks read the same, which saves K - 1 passes.
            return [found] * len(tasks) if of_representation else found

    model = cls(tasks, Trunk, heads, of_representation, False, torch.device("cpu"))
    model.init_param()

    def backward(x, y) -> None:
        outputs = model(x)
        losses = torch.stack([torch.nn.functional.cross_entropy(outputs[task], y[task]) for task in tasks])
        model.backward(losses, **settings)

    return torch_epochs(model.encoder, heads, tasks, steps, clock, backward)


def without_models_of_libmtl() -> None:
    """Lets LibMTL be imported without its models, which need a torchvision of 2020."""
    if "LibMTL" not in sys.modules:
        package = types.ModuleType("LibMTL")
        package.__path__ = list(importlib.util.find_spec("LibMTL").submodule_search_locations)
        sys.modules["LibMTL"] = package


def torchjd(name: str, tasks: list[str], steps: int, clock) -> Callable[[], float]:
    import torch
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    trunk, heads = torch_trunk(), torch_heads(tasks)
    cls = getattr(aggregation, name)
    settings = {"NashMTL": {"n_tasks": len(tasks)}, "CAGrad": {"c": 0.5}, "FairGrad": {"alpha": 1.0}}
    aggregator = cls(**settings.get(name, {}))

    def backward(x, y) -> None:
        features = trunk(x)
        losses = [torch.nn.functional.cross_entropy(heads[task](features), y[task]) for task in tasks]
        mtl_backward(losses, features=features)
        jac_to_grad(trunk.parameters(), aggregator)

    return torch_epochs(trunk, heads, tasks, steps, clock, backward)


def ours(name: str | None, level: str, tasks: list[str], steps: int, clock) -> Callable[[], float]:
    model = make_model(tasks, None if name is None else make_balancer(name, level))
    return epoch_timer(model, make_batches(tasks, steps), steps, clock)


def peers(name: str, level: str) -> dict[str, Callable]:
    """Returns what makes the timers of those that have a method, by library."""
    makers: dict[str, Callable] = {"mtlkeras": functools.partial(ours, name, level)}
    if installed("LibMTL") and name in LIBMTL and (level == "parameters" or name in OF_REPRESENTATION):
        makers["LibMTL"] = functools.partial(libmtl, name, level)
    if installed("torchjd") and name in TORCHJD and level == "parameters":
        makers["TorchJD"] = functools.partial(torchjd, name)
    return makers


def plain_ones() -> dict[str, Callable]:
    """Returns what makes the timers of plain steps, by library."""
    makers: dict[str, Callable] = {"mtlkeras": functools.partial(ours, None, "")}
    if installed("LibMTL") or installed("torchjd"):
        makers["LibMTL"] = makers["TorchJD"] = plain_torch
    return makers


@functools.cache
def installed(name: str) -> bool:
    return all(importlib.util.find_spec(package) for package in ("torch", name))


def time_ratios(makers: dict[str, Callable], plain: dict[str, Callable], repeats: int, *arguments) -> dict:
    """Returns for each library the ratios of balanced to plain epochs."""
    timers = {library: make(*arguments) for library, make in makers.items()}
    ratios: dict[str, list[float]] = {library: [] for library in timers}
    for repeat in range(repeats):
        for library, timed in timers.items():
            pair = [timed, plain[library]]
            first, second = (run() for run in (pair if repeat % 2 else reversed(pair)))
            ratios[library].append(first / second if repeat % 2 else second / first)
    return ratios


def growth(library: str, name: str, level: str, count: int) -> float:
    """Returns the MiB that a training in a process of its own takes at most beyond its start."""
    command = [sys.executable, __file__, "--child", library, name, level, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def child(library: str, name: str, level: str, count: int) -> None:
    # What a library takes by itself is no part of it.
    importlib.import_module("mtlkeras" if library == "mtlkeras" else "torch")
    make = (peers(name, level) if name else plain_ones())[library]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make(task_names(count), 4, time.perf_counter)()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times balancers beside those of LibMTL and TorchJD.")
    parser.add_argument("--methods", nargs="*", default=list(TORCHJD))
    parser.add_argument("--tasks", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--levels", nargs="*", default=["parameters", "representation"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--cpu", action="store_true", help="count processor time in place of wall time")
    parser.add_argument("--memory", action="store_true", help="compare peak memory and time nothing")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child[:3], int(args.child[3]))
        return
    clock = time.process_time if args.cpu else time.perf_counter
    print(f"$ python {' '.join(sys.argv)}")
    print("| tasks | level | method | mtlkeras | LibMTL | TorchJD |\n| --- | --- | --- | --- | --- | --- |")
    for count in args.tasks:
        arguments = (task_names(count), args.steps, clock)
        if args.memory:
            plain = {library: growth(library, "", "", count) for library in plain_ones()}
        else:
            plain = {library: make(*arguments) for library, make in plain_ones().items()}
        for level in args.levels:
            for name in args.methods:
                makers = peers(name, level)
                if args.memory:
                    found = {lib: [growth(lib, name, level, count) / plain[lib]] for lib in makers}
                else:
                    found = time_ratios(makers, plain, args.repeats, *arguments)
                cells = [
                    f"{statistics.median(found[library]):.2f}" if library in found else "–"
                    for library in ("mtlkeras", "LibMTL", "TorchJD")
                ]
                print(f"| {count} | {level} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
