"""The mixture of experts against sums by hand, and its errors."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import CAGrad
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import MMoE
from mtlkeras.trunks import MLP, BiLSTM, CNNAttention
from tests.support import EAGERLY, TinyTrunk, softmax

HEADS = {"a": Regression(), "mask": Classification(3)}


def numpy_outputs(model, x, task):
    """Returns a task's mixture of the experts, by NumPy."""
    trunk = model.trunk
    kernel, bias = trunk.get_layer(f"{task}_gate").get_weights()
    shares = softmax(x @ kernel + bias)
    experts = [trunk.get_layer(f"expert_{i}").get_weights() for i in (1, 2, 3)]
    values = np.stack([np.maximum(x @ w + b, 0.0) for w, b in experts], axis=1)
    return np.einsum("be,bef->bf", shares, values)


@pytest.mark.eager
def test_outputs_are_the_mixtures_of_the_paper():
    model = mtlkeras.build_model((4,), MLP(depth=1, width=5), HEADS, sharing=MMoE(experts=3))
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    for layer in model.trunk.layers:
        if layer.name.endswith("_gate"):  # Gates begin alike for near-zero inputs; not here.
            layer.set_weights([3.0 * w + 0.1 for w in layer.get_weights()])
    outputs = model.trunk(x)
    for task in HEADS:
        found = keras.ops.convert_to_numpy(outputs[f"{task}_reads_vector"])
        np.testing.assert_allclose(found, numpy_outputs(model, x, task), rtol=1e-4, atol=1e-5)


def test_experts_begin_differently_whatever_the_seed():
    trunk = BiLSTM(units=3, vocabulary_size=9, seed=4)
    heads = {"a": Regression(), "b": Regression()}
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads, sharing=MMoE(experts=2))
    one, two = (model.trunk.get_layer(f"expert_{i}").get_weights() for i in (1, 2))
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(one, two, strict=True))


def test_gates_of_pictures_and_texts_see_the_first_tap():
    images = mtlkeras.build_model((6, 6, 1), TinyTrunk(width=4), HEADS, sharing=MMoE(experts=2))
    assert images.trunk.get_layer("a_gate").kernel.shape == (4, 2)
    texts = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"),
        CNNAttention(width=8, depth=1, vocabulary_size=20, embedding_units=6),
        HEADS,
        sharing=MMoE(experts=2),
    )
    weights = mtlkeras.analysis.attention_weights(texts, np.array([[3, 4, 5, 0]]))
    assert {name.split("/")[0] for name in weights} == {"expert_1", "expert_2"}


def test_attention_is_seen_in_parts_that_are_called_once_a_task():
    trunk = mtlkeras.trunks.CNNAttention(width=4, depth=1, heads=2, vocabulary_size=9, embedding_units=4)
    heads = {task: Classification(2) for task in ("a", "b")}
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), trunk, heads, sharing=mtlkeras.sharing.Adapters()
    )
    weights = mtlkeras.analysis.attention_weights(model, np.array([[3, 4, 5, 0]]))
    pools = [values for name, values in weights.items() if name.endswith("attention_pool")]
    layers = [values for name, values in weights.items() if "attention_1" in name.split("/")[-1]]
    assert len(pools) == len(layers) == 2
    for values in (*pools, *layers):
        np.testing.assert_allclose(values.sum(-1), 1.0, rtol=1e-5)
        np.testing.assert_array_equal(values[..., 3], 0.0)


@pytest.mark.eager
@pytest.mark.slow_on_jax
def test_tags_of_sequences_are_mixed_step_by_step_under_the_mask():
    heads = {"tag": mtlkeras.heads.CRFTagging(("a", "b", "c")), "kind": Classification(2)}
    trunk = BiLSTM(units=3, vocabulary_size=9, embedding_units=4, dropout=0.0)
    model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, heads, sharing=MMoE(experts=2))
    model.compile("sgd", run_eagerly=EAGERLY)
    x = np.array([[3, 4, 5], [6, 7, 0]], "int32")
    y = {"tag": np.array([[0, 1, 2], [1, 2, -1]]), "kind": np.array([0, 1])}
    wide = np.pad(x, ((0, 0), (0, 2)))
    for task, labels in y.items():
        more = np.pad(labels, ((0, 0), (0, 2)), constant_values=-1) if labels.ndim == 2 else labels
        one = model.evaluate(x, {task: labels}, verbose=0, return_dict=True)[f"{task}_loss"]
        two = model.evaluate(wide, {task: more}, verbose=0, return_dict=True)[f"{task}_loss"]
        np.testing.assert_allclose(one, two, rtol=1e-5)
    answers = model.predict_labels(x, verbose=0)["tag"]
    assert [len(row) for row in answers] == [3, 2]


def test_a_layer_that_a_balancer_names_is_that_of_every_expert():
    model = mtlkeras.build_model((4,), MLP(depth=2, width=5), HEADS, sharing=MMoE(experts=3))
    balancer = CAGrad(at="parameters", layers=("hidden_2",))
    model.compile("sgd", balancer=balancer, run_eagerly=EAGERLY)
    experts = [model.trunk.get_layer(f"expert_{i}").get_layer("hidden_2") for i in (1, 2, 3)]
    wanted = [id(v) for layer in experts for v in layer.trainable_weights]
    assert [id(v) for v in model.balancing.chosen] == wanted
    x = np.ones((4, 4), "float32")
    y = {"a": np.ones(4), "mask": np.arange(4) % 3}
    assert np.isfinite(model.fit(x, y, verbose=0).history["a_weight"]).all()


def test_a_model_as_the_trunk_is_refused():
    body = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="MMoE: its trunks are several of one spec"):
        mtlkeras.build_model((4,), body, HEADS, sharing=MMoE())


def test_bad_fields_are_told():
    with pytest.raises(ValueError, match="MMoE: experts must be a whole number of at least 1; received 0"):
        MMoE(experts=0)
