"""Training in half precision reaches what training in float32 reaches."""

from __future__ import annotations

import statistics

import pytest

from mtlkeras._app.recipe import Recipe, find_recipe
from mtlkeras._app.runs.options import TrainOptions
from mtlkeras._app.runs.train import prepare, train

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]

SEEDS = (0, 1, 2)


def accuracy(recipe, folder, policy):
    """Mean test accuracy over tasks and seeds, in percent."""
    found = []
    for seed in SEEDS:
        options = TrainOptions(
            seed=seed, dtype_policy=policy, export=False, verbose=0, run_dir=str(folder / f"{policy}-{seed}")
        )
        run = train(prepare(recipe, options), lambda text: None)
        test = run.read_json("metrics.json")["test"]
        found += [value for name, value in test.items() if name.endswith("_accuracy")]
    return 100 * statistics.mean(found)


def test_digits_within_half_a_point_of_float32(tmp_path):
    recipe = Recipe(find_recipe("digits"))
    found = {
        policy: accuracy(recipe, tmp_path, policy)
        for policy in ("float32", "mixed_bfloat16", "mixed_float16")
    }
    print(found)
    for value in found.values():
        assert abs(value - found["float32"]) <= 0.5, found
    assert found["float32"] > 97
