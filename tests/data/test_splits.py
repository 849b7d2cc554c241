"""Splits by column, slice and fraction."""

from __future__ import annotations

import numpy as np
import pytest

from mtlkeras.data import load, to_arrays

SOURCE = {
    "x": np.arange(20),
    "y": np.zeros(20),
    "split": ["train"] * 10 + ["test"] * 6 + ["valid"] * 4,
    "person": np.arange(20) // 4,
}


def chosen(split, **options):
    x, _ = to_arrays(load(SOURCE, {"t": "y"}, "x", split=split, shuffle=False, **options))
    return x[:, 0].tolist()


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", range(10)),
        ("train[:30%]", range(3)),
        ("train[30%:]", range(3, 10)),
        ("train[2:5]", range(2, 5)),
        ("train[-2:]", range(8, 10)),
        ("valid + test[:1]", [16, 17, 18, 19, 10]),
        (None, range(20)),
    ],
)
def test_named_splits_and_slices(split, expected):
    assert chosen(split) == list(expected)


def test_fractions_divide_without_loss():
    fractions = {"train": 0.6, "valid": 0.25, "test": 0.15}
    parts = {name: chosen(name, fractions=fractions) for name in fractions}
    assert {name: len(part) for name, part in parts.items()} == {"train": 12, "valid": 5, "test": 3}
    assert sorted(sum(parts.values(), [])) == list(range(20))
    assert chosen("train", fractions=fractions) == parts["train"]
    assert chosen("train", fractions=fractions, seed=1) != parts["train"]


def test_groups_stay_together():
    fractions = {"train": 0.6, "test": 0.4}
    people = {
        name: {i // 4 for i in chosen(name, fractions=fractions, group_column="person")} for name in fractions
    }
    assert len(people["train"]) == 3 and len(people["test"]) == 2
    assert not people["train"] & people["test"]
