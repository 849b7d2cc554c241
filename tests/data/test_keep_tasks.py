"""Labels of some tasks only."""

from __future__ import annotations

import numpy as np
import pytest

import mtlkeras

tf = pytest.importorskip("tensorflow")


def _numbers(**options):
    rows = {"x": np.arange(6.0), "a": np.arange(6), "b": np.arange(6) % 2, "w": np.linspace(0, 1, 6)}
    return mtlkeras.data.load(rows, {"a": "a", "b": "b"}, "x", batch_size=4, seed=3, **options)


def test_labels_of_the_other_tasks_are_left_out():
    whole, kept = _numbers(), mtlkeras.data.keep_tasks(_numbers(), ["b"])
    assert int(kept.cardinality()) == 2
    for (x, y), (same, less) in zip(whole, kept, strict=True):
        np.testing.assert_array_equal(x, same)
        assert list(less) == ["b"]
        np.testing.assert_array_equal(y["b"], less["b"])


def test_weights_follow_the_tasks_or_stand_for_all():
    x, y, w = np.zeros((4, 1)), {"a": np.arange(4), "b": np.arange(4)}, np.arange(4.0)
    by_task = tf.data.Dataset.from_tensor_slices((x, y, {"a": w, "b": 2 * w})).batch(2)
    for _, labels, weights in mtlkeras.data.keep_tasks(by_task, ["b"]):
        assert list(labels) == list(weights) == ["b"]
    for_all = tf.data.Dataset.from_tensor_slices((x, y, w)).batch(4)
    (batch,) = mtlkeras.data.keep_tasks(for_all, ["a"])
    np.testing.assert_array_equal(batch[2], w)


def test_epochs_are_shuffled_as_before():
    whole, kept = _numbers(shuffle=True), mtlkeras.data.keep_tasks(_numbers(shuffle=True), ["a"])
    assert mtlkeras.data.set_epoch(whole, 4) and mtlkeras.data.set_epoch(kept, 4)
    order = [[int(n) for _, y in data for n in y["a"]] for data in (whole, kept)]
    assert order[0] == order[1] != list(range(6))


def test_unknown_task_is_told():
    with pytest.raises(ValueError, match="Unknown task 'bb' in keep_tasks. Did you mean 'b'"):
        mtlkeras.data.keep_tasks(_numbers(), ["bb"])
