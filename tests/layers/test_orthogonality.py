"""Private features held apart from shared ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Regression, Tagging
from mtlkeras.layers import Orthogonality
from mtlkeras.sharing import PLE
from mtlkeras.trunks import LSTM, MLP
from tests.support import EAGERLY

pytestmark = pytest.mark.eager

RNG = np.random.default_rng(0)


def directions(rows):
    rows = rows - rows.mean(0)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def loss_of(private, *shared, present=None):
    layer = Orthogonality(0.5)
    np.testing.assert_array_equal(layer([private, *shared], present=present), private)
    return float(sum(layer.losses))


def brute(private, *shared):
    """Sum over pairs of features of the squared mean product."""
    own = directions(private)
    return 0.5 * sum(
        np.mean(own[:, i] * directions(other)[:, j]) ** 2
        for other in shared
        for i in range(own.shape[1])
        for j in range(other.shape[1])
    )


def test_loss_is_that_of_the_paper():
    a, b, c = (RNG.normal(size=(9, n)).astype("float32") for n in (3, 3, 4))
    assert loss_of(a, b, c) == pytest.approx(brute(a, b, c), rel=1e-5)
    assert loss_of(a, a) > loss_of(a, RNG.normal(size=(9, 3)).astype("float32"))
    # Of two axes that do not vary together nothing is left.
    grid = np.array([[i, j] for i in (-1.0, 1.0) for j in (-1.0, 1.0)], "float32")
    assert loss_of(grid[:, :1], grid[:, 1:]) == pytest.approx(0.0, abs=1e-7)


def test_places_are_rows_and_what_is_masked_does_not_count():
    a, b = (RNG.normal(size=(4, 5, 3)).astype("float32") for _ in range(2))
    assert loss_of(a, b) == pytest.approx(brute(a.reshape(-1, 3), b.reshape(-1, 3)), rel=1e-5)
    present = RNG.random((4, 5)) < 0.6
    assert loss_of(a, b, present=present) == pytest.approx(brute(a[present], b[present]), rel=1e-5)
    assert loss_of(a, b, present=np.zeros((4, 5), bool)) == 0.0
    assert np.isfinite(loss_of(a[:1, :1], b[:1, :1]))  # One row varies with nothing.


def regularization(model, x, y):
    logs = model.evaluate(x, y, verbose=0, return_dict=True, batch_size=16)
    return logs["loss"] - sum(logs[f"{task}_loss"] for task in y)


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_experts_of_ple(remat, tmp_path):
    heads = {"a": Regression(), "b": Regression()}
    scheme = PLE(experts=2, shared_experts=1, orthogonality=0.5)
    model = mtlkeras.build_model((3,), MLP(depth=1, width=4, remat=remat), heads, scheme)
    model.compile("sgd", balancer=mtlkeras.balancers.PCGrad(at="parameters"), run_eagerly=EAGERLY)
    x = RNG.normal(size=(16, 3)).astype("float32")
    y = {"a": x.sum(1), "b": x[:, 0]}

    def expert(name):
        kernel, bias = model.trunk.get_layer(f"{name}_hidden_1").get_weights()
        return np.maximum(x @ kernel + bias, 0)

    expected = sum(brute(expert(f"{task}_expert_{n}"), expert("expert_1")) for task in "ab" for n in (1, 2))
    assert regularization(model, x, y) == pytest.approx(expected, rel=1e-4)
    before = model.trunk.get_layer("expert_1_hidden_1").get_weights()[0]
    model.fit(x, y, verbose=0)
    assert (before != model.trunk.get_layer("expert_1_hidden_1").get_weights()[0]).any()
    model.save(tmp_path / "model.keras")
    assert mtlkeras.load_model(tmp_path / "model.keras").trunk.get_layer("features").sharing == scheme
    plain = mtlkeras.build_model((3,), MLP(depth=1, width=4), heads, PLE(experts=2))
    assert plain.trunk.count_params() == model.trunk.count_params()


def test_steps_of_a_text_that_are_padding_do_not_count():
    trunk = LSTM(units=4, vocabulary_size=9, dropout=0.0)
    heads = {"tag": Tagging(("O", "B-x", "I-x"))}
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads, PLE(orthogonality=1.0))
    model.compile("sgd", run_eagerly=EAGERLY)
    ids = RNG.integers(1, 9, (4, 5))
    longer = np.concatenate([ids, np.zeros((4, 3), int)], axis=1)
    found = [regularization(model, rows, {"tag": np.where(rows > 0, 0, -1)}) for rows in (ids, longer)]
    assert found[0] > 0 and found[1] == pytest.approx(found[0], rel=1e-4)


def test_strength_is_checked():
    for what in (Orthogonality, lambda strength: PLE(orthogonality=strength)):
        with pytest.raises(ValueError, match="must be finite and not negative; received -1"):
            what(-1)
