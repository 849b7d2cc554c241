"""A held-out task on trained trunks, by the number of labels."""

from __future__ import annotations

import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, MultiLabel, Regression
from mtlkeras.transfer import few_labels
from mtlkeras.transfer.few_labels import _drawn
from mtlkeras.trunks import MLP

pytestmark = pytest.mark.eager
HELD_OUT = Classification(2)


def data(rows, seed):
    x = np.random.default_rng(seed).normal(size=(rows, 12)).astype("float32")
    return x, (np.abs(x[:, 0]) > np.abs(x[:, 1])).astype(int)


@pytest.fixture(scope="module")
def source():
    """A model whose trunk gives the halves of the two inputs that tell, as another task would have it."""
    model = mtlkeras.build_model((12,), MLP(depth=1, width=4), {"other": Regression()})
    kernel = np.zeros((12, 4), "float32")
    kernel[0, :2], kernel[1, 2:] = (1, -1), (1, -1)
    model.trunk.get_layer("hidden_1").set_weights([kernel, np.zeros(4)])
    return model


def test_a_trunk_that_knows_the_task_needs_few_labels(source, tmp_path):
    before = [np.array(v) for v in source.trunk.get_weights()]
    train, test = data(60, 1), data(400, 2)
    found = few_labels(source, HELD_OUT, train, test, (30, None), ("frozen",), steps=16, learning_rate=0.2)
    assert found.ways == ("frozen", "scratch")
    assert (found.metric, found.direction) == ("accuracy", "up")
    means = {way: {n: np.mean(v) for n, v in found.scores(way).items()} for way in found.ways}
    assert list(means["frozen"]) == [30, 60]
    assert means["frozen"][30] > means["scratch"][30] + 0.15
    for old, new in zip(before, source.trunk.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    frame = found.frame()
    assert frame["labels"] == [30] * 2 + [60] * 2 and frame["seed"] == [0] * 4
    assert f"| frozen | {frame['score'][0]:.3f} | {frame['score'][2]:.3f} |" in found.table()
    found.plot(tmp_path / "curves.svg")
    assert "labels" in (tmp_path / "curves.svg").read_text()


def test_several_sources_are_tried_and_a_seeded_run_repeats(source):
    alone = mtlkeras.build_model((12,), MLP(depth=1, width=4), {"first": Regression()})
    sources = {"together": source, "alone": alone}
    held_out = (Regression(), data(20, 1), data(20, 2), (4,))
    one = few_labels(sources, *held_out, seeds=(0, 1), steps=1, batch_size=8)
    again = few_labels(source, *held_out, ("frozen",), seeds=(1,), steps=1, batch_size=8)
    assert one.ways == (
        "together, frozen",
        "together, trained",
        "alone, frozen",
        "alone, trained",
        "scratch",
    )
    assert one.direction == "down"
    assert again.scores("frozen")[4] == one.scores("together, frozen")[4][1:]
    assert again.scores("scratch")[4] == one.scores("scratch")[4][1:]
    assert len(one.scores("scratch")[4]) == 2 and " ± " in one.table()


def test_fewer_labels_are_among_more_and_classes_take_turns():
    y = np.array([0] * 50 + [1] * 3 + [2] * 40 + [mtlkeras.MISSING] * 30)
    order = _drawn(Classification(3), y, 0)
    assert sorted(order) == list(range(93))
    assert sorted(y[order[:3]]) == [0, 1, 2] and np.bincount(y[order[:9]]).tolist() == [3, 3, 3]
    np.testing.assert_array_equal(order, _drawn(Classification(3), y, 0))
    assert not np.array_equal(order, _drawn(Classification(3), y, 1))
    several = np.where(np.arange(12)[:, None] % 3 == 0, -1, np.ones((12, 2), int))
    assert sorted(_drawn(MultiLabel(2), several, 0)) == [i for i in range(12) if i % 3]
    numbers = np.where(np.arange(9) < 4, np.nan, 1.0).astype("float32")
    assert sorted(_drawn(Regression(), numbers, 0)) == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": (500,)}, "counts asks for 500 labels; 20 examples of train have one"),
        ({"counts": (0,)}, "counts asks for 0 labels"),
        ({"counts": ()}, "at least one number of labels"),
        ({"ways": ("forzen",)}, "Did you mean 'frozen'"),
        ({"ways": "frozen"}, "must be a tuple of names"),
        ({"seeds": ()}, "at least one seed"),
        ({"sources": {}}, "at least one source"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"head": "class"}, "expected a head"),
        ({"train": np.zeros((3, 12))}, "train must be \\(x, y\\) in arrays"),
        ({"test": (np.zeros((3, 12)), np.zeros(4))}, "test has 3 inputs and 4 labels"),
        ({"test": (np.zeros((3, 12)), np.full(3, -1))}, "no example of test has a label"),
        ({"train": (np.zeros((0, 12)), np.zeros(0, int))}, "no example of train has a label"),
        ({"train": (np.zeros((2, 12)), np.array(["a", "b"]))}, "labels of train must be numbers"),
        ({"train": (np.zeros((2, 12)).tolist(), [0, 1, 1])}, "train has 2 inputs and 3 labels"),
        ({"train": (np.zeros((3, 12)), {"a": np.zeros(3), "b": np.zeros(3)})}, "labels of one task"),
    ],
)
def test_what_cannot_be_measured_is_told(source, changes, message):
    given = {"sources": source, "head": HELD_OUT, "train": data(20, 1), "test": data(20, 2), **changes}
    with pytest.raises(ValueError, match=message):
        few_labels(**given)
