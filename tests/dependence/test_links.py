"""Models whose chains have links of several kinds of heads."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression
from mtlkeras.metrics import JointLogLikelihood
from mtlkeras.sharing import MMoE
from mtlkeras.trunks import MLP
from tests.support import EAGERLY, softmax

pytestmark = pytest.mark.eager
HEADS = {
    "m": MultiLabel(3, label_names=("x", "y", "z"), positive_weight=2.0),
    "n": Regression(),
    "o": Ordinal(4),
    "a": Classification(3, class_weight={0: 2.0}),
}
TREE = TaskChain(tree=(("o", "m/x"), ("m/x", "a"), ("o", "m/2")), conditional=True)
X = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")


def labels(seed=0):
    rng = np.random.default_rng(seed)
    y = {"m": rng.integers(-1, 2, (9, 3)), "o": rng.integers(-1, 4, 9), "a": rng.integers(-1, 3, 9)}
    return {**y, "n": X[:, 0].copy()}


def build(dependence, heads=HEADS, **more):
    keras.utils.set_random_seed(0)
    model = mtlkeras.build_model((4,), MLP(depth=1, width=5), heads, dependence=dependence, **more)
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=EAGERLY)
    return model


@pytest.mark.slow_on_jax
def test_a_tree_of_all_heads_learns_saves_and_clones(tmp_path):
    model, y = build(TREE), labels()
    history = model.fit(X, y, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    layer = model.get_layer("dependence")
    assert layer.kernel.shape[0] == 5
    assert all(np.abs(np.asarray(weight)).max() > 0.01 for weight in layer.weights)
    model.save(tmp_path / "m.keras")
    again, clone = mtlkeras.load_model(tmp_path / "m.keras"), keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    known = {"m": np.where(np.arange(3) == 1, -1, 1) * np.ones((9, 1), int), "a": y["a"]}
    expected = model.predict_labels(X, joint=True, known=known, verbose=0)
    assert all({"x", "z"} <= set(row) for row in expected["m"])
    for other in (again, clone):
        assert other.dependence == TREE and other.heads == HEADS
        found = other.predict_labels(X, joint=True, known=known, verbose=0)
        assert all(list(found[t]) == list(expected[t]) for t in ("m", "o", "a"))


def test_tables_are_made_of_what_each_head_reads():
    model = mtlkeras.build_model((4,), MLP(depth=1, width=5), HEADS, sharing=MMoE(experts=2), dependence=TREE)
    assert model.get_layer("dependence").kernel.shape[0] == 15


@pytest.mark.slow
def test_at_the_start_heads_are_as_without_a_chain_and_labels_are_summed():
    heads = {**HEADS, "m": MultiLabel(3), "a": Classification(3)}
    y = labels(1)
    plain, chained = build(None, heads), build(TaskChain(("m", "o", "a"), directed=True), heads)
    for one, other in ((plain, chained), (chained, plain)):
        for task in heads:
            one.get_layer(f"{task}_logits").set_weights(other.get_layer(f"{task}_logits").get_weights())
    found, expected = chained.predict(X, verbose=0), plain.predict(X, verbose=0)
    for task in heads:
        np.testing.assert_allclose(found[task], expected[task], rtol=1e-4, atol=1e-6)
    assert chained.get_layer("o").count_params() == 0 and chained.get_layer("o_classes").count_params() == 3
    for model in (plain, chained):
        model.compile("sgd", joint_metrics=JointLogLikelihood(("m", "o", "a")), run_eagerly=EAGERLY)
    logs = [model.evaluate(X, y, verbose=0, return_dict=True) for model in (plain, chained)]
    assert logs[0]["joint_log_likelihood"] == pytest.approx(logs[1]["joint_log_likelihood"], rel=1e-5)
    assert logs[0]["a_loss"] == pytest.approx(logs[1]["a_loss"], rel=1e-5)
    seen, p = y["m"] >= 0, expected["m"]
    log = np.where(seen, np.log(np.where(y["m"] == 1, p, 1 - p)), 0.0).sum(1)
    assert logs[1]["m_loss"] == pytest.approx(-log[seen.any(1)].mean(), rel=1e-5)
    ranks = y["o"] >= 0
    assert logs[1]["o_loss"] == pytest.approx(-np.log(expected["o"][ranks, y["o"][ranks]]).mean(), rel=1e-5)


@pytest.mark.slow_on_jax
def test_weights_of_labels_and_of_classes_scale_their_parts():
    model, y = build(TaskChain(("m",)), {"m": MultiLabel(3)}), {"m": np.array([[1, 0, 1]] * 9)}
    layer = model.get_layer("dependence")
    layer.pairwise.assign(np.random.default_rng(0).normal(size=layer.pairwise.shape))
    scores = model.outputs_for_loss(X).dependent
    known = {"m": (keras.ops.convert_to_tensor(y["m"]), keras.ops.ones((9, 3), "bool"))}
    parts = keras.ops.convert_to_numpy(layer.losses_by_task(scores, known)["m"])
    weights = np.random.default_rng(1).integers(0, 3, (9, 3)).astype("float32")
    found = model.evaluate(X, y, sample_weight={"m": weights}, verbose=0, return_dict=True)
    assert found["m_loss"] == pytest.approx((parts * weights).sum() / (weights > 0).any(1).sum(), rel=1e-5)
    heavy = build(TaskChain(("m",)), {"m": MultiLabel(3, positive_weight=(3.0, 1.0, 0.5))})
    heavy.set_weights(model.get_weights())
    found = heavy.evaluate(X, y, verbose=0, return_dict=True)["m_loss"]
    assert found == pytest.approx((parts * [3.0, 1.0, 0.5]).sum(1).mean(), rel=1e-5)


@pytest.mark.tensorflow
def test_half_precision_one_row_no_label_and_nan():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build(TREE)
        model.fit(X, labels(), verbose=0)
    finally:
        keras.config.set_dtype_policy(policy)
    assert all(value.dtype == "float32" for value in model.predict(X[:1], verbose=0).values())
    nothing = {"m": np.full((1, 3), np.nan), "o": np.array([-1]), "a": np.array([np.nan])}
    assert model.test_on_batch(X[:1], nothing, return_dict=True)["loss"] == 0.0
    one = model.test_on_batch(X[:1], {"m": np.array([[1, -1, -1]])}, return_dict=True)
    assert np.isfinite(one["loss"]) and one["a_loss"] == 0.0
    assert model.predict_labels(X[:0], joint=True, known={"a": []}, verbose=0)["m"].shape == (0,)


def test_log_probabilities_of_ordered_classes_do_not_cancel():
    layer = mtlkeras.layers.OrdinalClasses(4)
    scores = np.array([[-40.0], [-1.0], [0.3], [60.0]], "float32")
    log = keras.ops.convert_to_numpy(layer(scores)).astype("float64")
    above = 1 / (1 + np.exp(-(scores.astype("float64") - np.array([-1.0, 0.0, 1.0]))))
    edges = np.concatenate([np.ones((4, 1)), above, np.zeros((4, 1))], axis=1)
    some = [1, 2]
    np.testing.assert_allclose(np.exp(log[some]), -np.diff(edges[some]), rtol=1e-5)
    np.testing.assert_allclose(
        log[0], [0, -39 + np.log(1 - np.exp(-1)), -40 + np.log(1 - np.exp(-1)), -41], atol=2e-5
    )
    np.testing.assert_allclose(softmax(log).sum(1), 1.0)


def test_links_that_are_none_are_told():
    for fields, message in [
        ({"order": ("m/w", "a")}, "Unknown label 'w' in 'm/w' in order= of TaskChain"),
        ({"order": ("a/0", "o")}, "'a/0' names a label, but task 'a' is no MultiLabel"),
        ({"order": ("m", "m/y")}, "order names the task 'm/1' twice"),
        ({"tree": (("m", "a"),)}, "'m' has 3 labels: name one of them, such as 'm/0'"),
        ({"tree": (("m/x", "a"), ("a", "m/0"))}, r"circle: its pair \('a', 'm/0'\)"),
        ({"tree": (("a", "a"),)}, r"circle: its pair \('a', 'a'\)"),
        ({"tree": (("o", "n"),)}, "Classification, Ordinal or MultiLabel; that of task 'n' is Regression"),
        ({"order": ("a",), "tree": (("o", "a"),)}, "give the links of a chain as order=, or the pairs"),
        ({}, "give the links of a chain as order="),
    ]:
        with pytest.raises(ValueError, match=message):
            build(TaskChain(**fields))
    focal = {"m": MultiLabel(2, focal_gamma=2.0)}
    with pytest.raises(ValueError, match="which focal_gamma of its head would change"):
        build(TaskChain(("m",)), focal)
