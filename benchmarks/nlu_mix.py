"""Three data sets in one model against three models alone, by schedule; what the others bring to few labels.

    python benchmarks/nlu_mix.py quarter --runs FOLDER [--data-dir DIR]
    python benchmarks/nlu_mix.py few --runs FOLDER [--data-dir DIR]

Runs of the recipe `nlu_mix`, each a folder of `mtlkeras train`; one that is there goes on or is not run
again. `quarter`: a quarter of the training splits of Snips and the alarms, the eight folds of HWU64, 12
epochs, seed 0; an epoch ends when each source was gone through, so that schedules other than the
proportional one repeat the smaller ones and take more steps. Δm of a source is the mean of the relative
changes of intent accuracy and slots F1 against its model alone. `few`: one fold of HWU64 (folds 1, 2 and 3,
with seeds 0, 1 and 2), alone for 36 epochs, as it has few steps, and mixed with quarters of the others,
proportional, for 12. The epoch is chosen by the share of sentences of the validation splits that have all
labels right.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

SOURCES = ("snips", "alarms", "home")
SCHEDULES = ("proportional", "temperature", "alternating")
FOLDS = ("1", "2", "3")


def train(folder: Path, args: argparse.Namespace, *more: str, **settings: str) -> dict[str, float]:
    """Trains unless it was; returns the measures on the test split."""
    results = folder / "metrics.json"
    if not results.exists():
        command = [sys.executable, "-m", "mtlkeras", "train", "nlu_mix", "--no-export", "--set", "share=0.25"]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        command += ["--data-dir", args.data_dir] if args.data_dir else []
        resume = ["--resume"] if folder.exists() else []
        subprocess.run([*command, *more, "--run-dir", str(folder), *resume], check=True, stdout=sys.stderr)
    return json.loads(results.read_text())["test"]


def scores(found: dict[str, float], source: str) -> tuple[float, float]:
    return found[f"{source}_intent_accuracy"], found[f"{source}_slots_f1"]


def print_quarter(args: argparse.Namespace) -> None:
    alone = {name: scores(train(args.runs / name, args, sources=name), name) for name in SOURCES}
    together = {way: train(args.runs / way, args, schedule=way) for way in SCHEDULES}
    print(f"\n| | {' | '.join(f'{name}: intent, slots' for name in SOURCES)} | Δm |\n|{' --- |' * 5}")
    print(f"| alone | {' | '.join(f'{a:.4f}, {b:.4f}' for a, b in alone.values())} | |")
    for way, found in together.items():
        cells, changes = [], []
        for name in SOURCES:
            now = scores(found, name)
            change = 100 * statistics.mean(b / a - 1 for a, b in zip(alone[name], now, strict=True))
            cells.append(f"{now[0]:.4f}, {now[1]:.4f} ({change:+.2f})")
            changes.append(change)
        print(f"| {way} | {' | '.join(cells)} | {statistics.mean(changes):+.2f} |")


def print_few(args: argparse.Namespace) -> None:
    rows: dict[str, list[tuple[float, float]]] = {"alone": [], "with the others": []}
    for seed, fold in enumerate(FOLDS):
        more = ("--seed", str(seed))
        alone = train(
            args.runs / f"home-{fold}", args, *more, "--epochs", "36", sources="home", home_folds=fold
        )
        mixed = train(args.runs / f"mix-{fold}", args, *more, home_folds=fold)
        rows["alone"].append(scores(alone, "home"))
        rows["with the others"].append(scores(mixed, "home"))
    print(f"\n| a tenth of HWU64 | intent | slots F1 |\n|{' --- |' * 3}")
    for name, found in rows.items():
        columns = list(zip(*found, strict=True))
        cells = (f"{statistics.mean(c):.4f} ± {statistics.stdev(c):.4f}" for c in columns)
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("quarter", "few"))
    parser.add_argument("--runs", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--data-dir")
    args = parser.parse_args()
    args.runs.mkdir(parents=True, exist_ok=True)
    print(f"$ python {' '.join(sys.argv)}")
    (print_quarter if args.what == "quarter" else print_few)(args)


if __name__ == "__main__":
    main()
