"""Settings of text trunks and CRF heads, by short trainings on the validation splits of several data sets.

    python benchmarks/text_defaults.py --out FILE.jsonl [--data snips hwu64 ...] [--trunk bilstm]
                                       [--set NAME=VALUE ...] [--seed 0] [--data-dir DIR]
    python benchmarks/text_defaults.py --show FILE.jsonl

Each data set is that of the recipe of its name, with its heads and batches, trained for about a quarter of
its epochs. `--set` changes fields of the trunk, `loss_per`, `loss_weight`, `after` and `after_reads` of CRF
heads, `rate`, the learning rate, and `epochs`. A training that the file has is not run again. The last epoch
counts; the test splits are not read.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

EPOCHS = {"snips": 4, "hwu64": 10, "ud_ewt": 3, "fb_multilingual": 2, "goemotions": 2}
SCORES = {
    "snips": ("intent_accuracy", "slots_f1", "exact_match"),
    "hwu64": ("intent_accuracy", "entities_f1"),
    "ud_ewt": ("upos_accuracy", "xpos_accuracy", "feats_accuracy", "genre_accuracy"),
    "fb_multilingual": ("intent_accuracy", "slots_f1"),
    "goemotions": ("emotions_f1", "groups_f1", "sentiments_f1"),
}


def train(name: str, trunk: str, settings: dict[str, Any], seed: int, data_dir: str | None) -> dict[str, Any]:
    """Trains once; returns the scores of the validation split and the seconds of an epoch."""
    import keras

    import mtlkeras
    from mtlkeras._app.hyperparameters import HyperParameters
    from mtlkeras.heads import CRFTagging

    recipe = importlib.import_module(f"recipes.{name}")
    keras.utils.set_random_seed(seed)
    values: dict[str, Any] = {"trunk": trunk} if name == "goemotions" else {}
    model = recipe.build(HyperParameters(values, {"data_dir": data_dir or ""}))
    settings = dict(settings)
    rate, epochs = settings.pop("rate", 2e-3), settings.pop("epochs", EPOCHS[name])
    own_of_crf = ("loss_per", "loss_weight", "after", "after_reads")
    crf = {name: settings.pop(name) for name in own_of_crf if name in settings}
    classes = {"bilstm": mtlkeras.trunks.BiLSTM, "cnn_attention": mtlkeras.trunks.CNNAttention}
    own = model.trunk.get_layer("features").trunk
    if not isinstance(own, classes[trunk]):
        own = classes[trunk](encoder=own.encoder, dropout=own.dropout)
    heads = {
        task: head.replace(**crf) if isinstance(head, CRFTagging) else head
        for task, head in model.heads.items()
    }
    train, valid = (recipe.data(split, recipe.BATCH_SIZE, data_dir) for split in ("train", "valid"))
    joint = [m for m in [_joint(name)] if m]
    model = mtlkeras.build_model(keras.Input((None,), dtype="string"), own.replace(**settings), heads)
    steps = epochs * int(train.cardinality())
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule, global_clipnorm=5.0), joint_metrics=joint)
    start = time.process_time()
    model.fit(train, epochs=epochs, verbose=2)
    seconds = (time.process_time() - start) / epochs
    logs = model.evaluate(valid, return_dict=True, verbose=0)
    return {**{score: logs[score] for score in SCORES[name]}, "seconds": seconds}


def _joint(name: str) -> Any:
    import mtlkeras

    return mtlkeras.metrics.ExactMatch(("intent", "slots")) if name == "snips" else None


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["data"], row["trunk"], json.dumps(row["settings"], sort_keys=True), row["seed"]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def show(path: Path) -> None:
    found = rows(path)
    for trunk, settings in sorted({(r["trunk"], json.dumps(r["settings"], sort_keys=True)) for r in found}):
        print(trunk, settings)
        for name in EPOCHS:
            same = [r for r in found if (r["data"], r["trunk"]) == (name, trunk)]
            same = [r for r in same if json.dumps(r["settings"], sort_keys=True) == settings]
            if same:
                means = {k: sum(r["scores"][k] for r in same) / len(same) for k in same[0]["scores"]}
                text = "  ".join(f"{k} {v:.4f}" for k, v in means.items() if k != "seconds")
                print(f"  {name:16} n={len(same)}  {text}  {means['seconds']:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    parser.add_argument("--show", type=Path)
    parser.add_argument("--data", nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--trunk", default="bilstm", choices=["bilstm", "cnn_attention"])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir")
    args = parser.parse_args()
    if args.show:
        show(args.show)
        return
    pairs = (text.split("=", 1) for text in args.set)
    settings = {name: _value(value) for name, value in pairs}
    done = {key(row) for row in rows(args.out)}
    for name in args.data:
        row: dict[str, Any] = {
            "data": name,
            "trunk": args.trunk,
            "settings": settings,
            "seed": args.seed,
        }
        if key(row) in done:
            continue
        row["scores"] = train(name, args.trunk, settings, args.seed, args.data_dir)
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    main()
