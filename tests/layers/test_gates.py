"""Gates against their formulas, worked out by NumPy and SciPy."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import softmax
from scipy.stats import entropy

from mtlkeras.layers import DSelectKGate, Gate, GateEntropy, SoftmaxGate
from mtlkeras.layers.gates import smooth_step
from tests.layers.chain_support import gradients, numbers

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def with_weights(gate, scale=1.0, seed=1):
    """Builds a gate on four columns and draws its weights."""
    gate.build((None, 4))
    rng = np.random.default_rng(seed)
    for variable in gate.trainable_variables:
        variable.assign(scale * rng.normal(size=variable.shape))
    return gate


def step(x, gamma):
    inside = -2 / gamma**3 * x**3 + 3 / (2 * gamma) * x + 0.5
    return np.where(x <= -gamma / 2, 0.0, np.where(x >= gamma / 2, 1.0, inside))


@pytest.mark.parametrize("gamma", [0.5, 3.0])
def test_the_smooth_step_is_that_of_the_paper_and_its_slope_has_no_jump(gamma):
    x = np.linspace(-gamma, gamma, 41).astype("float32")
    np.testing.assert_allclose(numbers(smooth_step(x, gamma)), step(x, gamma), atol=1e-6)
    (slopes,) = gradients([], lambda x: ops.sum(smooth_step(x, gamma)), x)
    inside = -6 / gamma**3 * x**2 + 3 / (2 * gamma)  # Which is 0 at the ends too.
    np.testing.assert_allclose(slopes, np.where(np.abs(x) >= gamma / 2, 0.0, inside), atol=1e-5)


@pytest.mark.slow_on_jax
def test_the_softmax_gate_is_a_softmax_with_a_temperature():
    gate = with_weights(SoftmaxGate(3, temperature=2.0))
    expected = softmax((X @ numbers(gate.kernel) + numbers(gate.bias)) / 2.0, axis=1)
    np.testing.assert_allclose(numbers(gate(X)), expected, rtol=1e-5)


def one_by_one(gate, x):
    """Returns the weights of a DSelect-k gate, code by code."""
    bits = int(np.ceil(np.log2(gate.experts)))
    z = x @ numbers(gate.selector_kernel) + numbers(gate.selector_bias)
    shares = softmax((x @ numbers(gate.weight_kernel) + numbers(gate.weight_bias)) / gate.temperature, axis=1)
    weights = np.zeros((len(x), gate.experts))
    for row, selector in itertools.product(range(len(x)), range(gate.k)):
        steps = step(z[row, selector * bits : (selector + 1) * bits], gate.gamma)
        for code, written in enumerate(itertools.product((0, 1), repeat=bits)):
            product = np.prod([s if bit else 1 - s for s, bit in zip(steps, written, strict=True)])
            weights[row, code % gate.experts] += shares[row, selector] * product
    return weights


@pytest.mark.parametrize(
    ("experts", "k"),
    [
        pytest.param(4, 2, marks=pytest.mark.slow_on_jax),
        (5, 3),
        pytest.param(2, 1, marks=pytest.mark.slow_on_jax),
    ],
)
def test_dselect_k_is_a_sum_over_codes(experts, k):
    gate = with_weights(DSelectKGate(experts, k, gamma=4.0, temperature=0.5))
    weights = numbers(gate(X))
    np.testing.assert_allclose(weights, one_by_one(gate, X), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    assert (weights > 0).sum() > k * len(X)  # Bits have yet to settle.


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(("experts", "k"), [(8, 2), (5, 3), (3, 3), (1, 1)])
def test_at_most_k_experts_are_left_once_bits_have_settled(experts, k):
    gate = with_weights(DSelectKGate(experts, k), scale=1e4)
    gate.selector_bias.assign(0.0 * gate.selector_bias)
    gate.weight_kernel.assign(1e-4 * gate.weight_kernel)
    gate.weight_bias.assign(1e-4 * gate.weight_bias)
    weights = numbers(gate(np.random.default_rng(2).normal(size=(64, 4)).astype("float32")))
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-6)
    assert (weights > 0).sum(axis=1).max() == min(k, experts)
    assert (weights.max(axis=0) > 0).all()  # Each expert by some example.


@pytest.mark.parametrize("gate", [SoftmaxGate(3), DSelectKGate(3)], ids=["softmax", "dselect_k"])
@pytest.mark.parametrize("scale", [0.0, pytest.param(1.0, marks=pytest.mark.slow_on_jax), 1e4, 1e30])
def test_gradients_are_finite(gate, scale):
    gate = with_weights(type(gate).from_config(gate.get_config()), scale)

    def loss(x):
        weights = gate(x)
        return ops.sum(weights * np.arange(3.0, dtype="float32")) + ops.sum(GateEntropy()(weights))

    for x in (X, (6e4 * np.sign(X)).astype("float16").astype("float32") if scale <= 1e4 else X):
        assert all(np.isfinite(g).all() for g in gradients(gate.trainable_variables, loss, x))


@pytest.mark.slow_on_jax
def test_gates_compute_in_float32():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        for gate in (SoftmaxGate(3), DSelectKGate(3)):
            weights = with_weights(gate)(np.full((2, 4), 6e4, "float16"))
            assert keras.backend.standardize_dtype(weights.dtype) == "float32"
            np.testing.assert_allclose(numbers(weights).sum(axis=1), 1.0, rtol=1e-6)
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.slow_on_jax
def test_dropout_leaves_experts_out_and_scales_the_others():
    gate = with_weights(SoftmaxGate(4, dropout=0.3, seed=1), scale=0.3)
    x = np.zeros((2000, 4), "float32")
    whole, weights = numbers(gate(x)), numbers(gate(x, training=True))
    left = weights > 0
    expected = np.where(left, whole, 0.0)
    np.testing.assert_allclose(weights, expected / expected.sum(axis=1, keepdims=True), rtol=1e-5)
    assert 0.27 < 1 - left.mean() < 0.33
    assert left.any(axis=1).all()  # Where all would have gone, none went.
    assert left[:, 0].std() > 0  # By example, not by batch.


def test_entropies_are_those_of_scipy():
    weights = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0], [1 / 3] * 3], "float32")
    np.testing.assert_allclose(numbers(GateEntropy()(weights)), entropy(weights, axis=1), atol=1e-6)


@pytest.mark.slow_on_jax
def test_the_entropy_of_selectors_is_among_the_losses():
    gate = with_weights(DSelectKGate(4, 2, gamma=4.0, entropy_penalty=0.5))
    gate(X)
    expected = 0.5 * entropy(numbers(gate.selectors(X)), axis=2).sum(axis=1).mean()
    np.testing.assert_allclose(numbers(gate.losses[0]), expected, rtol=1e-5)


def test_gates_are_written_down():
    gates = [
        SoftmaxGate(3, temperature=2.0, dropout=0.1, seed=4),
        DSelectKGate(3, 1, gamma=2.0, entropy_penalty=0.1, temperature=0.5, dropout=0.2, seed=3),
    ]
    for gate in gates:
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(gate))
        assert again.get_config() == gate.get_config()
    with pytest.raises(NotImplementedError, match="Gate does not define gate_values"):
        Gate(3).gate_values(X)
