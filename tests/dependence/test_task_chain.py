"""Models with a chain or a tree over their tasks, and its errors."""

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras.balancers import CAGrad, Uncertainty
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import MMoE
from mtlkeras.trunks import MLP
from tests.dependence.all_assignments import as_evidence
from tests.support import EAGERLY

HEADS = {
    "a": Classification(3, class_names=("x", "y", "z")),
    "n": Regression(),
    "b": Classification(2, loss_weight=0.5),
}


def data(count=24, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype("float32")
    a = (x[:, 0] > 0).astype("int32") + (x[:, 1] > 0)
    b = np.where(a == 2, 1, rng.integers(0, 2, count))
    a, b = np.where(rng.random(count) < 0.3, -1, a), np.where(rng.random(count) < 0.3, -1, b)
    return x, {"a": a.astype("int32"), "n": x[:, 2], "b": b.astype("int32")}


def build(trunk=None, **kwargs):
    keras.utils.set_random_seed(0)
    trunk = trunk or MLP(depth=1, width=6)
    return mtlkeras.build_model((4,), trunk, HEADS, dependence=TaskChain(("a", "b")), **kwargs)


@pytest.mark.eager
@pytest.mark.parametrize(
    "balancer", [Uncertainty(), pytest.param(CAGrad(at="parameters"), marks=pytest.mark.slow)]
)
def test_a_model_learns_saves_and_answers(balancer, tmp_path):
    model = build()
    model.compile(keras.optimizers.Adam(0.05), balancer=balancer, run_eagerly=EAGERLY)
    x, y = data()
    history = model.fit(x, y, epochs=6, batch_size=12, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    layer = model.get_layer("dependence")
    assert np.abs(ops.convert_to_numpy(layer.pairwise)).max() > 0.01
    scores = model.outputs_for_loss(x).dependent
    found = layer.losses_by_task(scores, as_evidence({t: y[t] for t in ("a", "b")}))
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    for task in ("a", "b"):
        expected = ops.convert_to_numpy(found[task])[y[task] >= 0].mean()
        assert logs[f"{task}_loss"] == pytest.approx(expected, rel=1e-5)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(logs, rel=1e-5)
    one = model.predict_labels(x, joint=True, known={"b": y["b"]}, verbose=0)
    two = again.predict_labels(x, joint=True, known={"b": y["b"]}, verbose=0)
    assert (one["a"] == two["a"]).all() and set(one["a"]) <= {"x", "y", "z"}
    assert (one["b"][y["b"] >= 0] == y["b"][y["b"] >= 0]).all()


@pytest.mark.slow
@pytest.mark.tensorflow
def test_it_exports_and_is_drawn(tmp_path):
    import tensorflow as tf

    from mtlkeras._app.report.diagram import draw_model, links

    model = build()
    model.compile("sgd", run_eagerly=True)
    x, y = data()
    model.fit(x, y, verbose=0)
    model.export(tmp_path / "saved", joint=True, verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    raw = loaded.serve_raw(x)
    for task, outputs in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(raw[task], outputs, rtol=1e-5, atol=1e-6)
    best = model.predict_labels(x, joint=True, verbose=0)
    assert loaded.serve_joint(x)["b"].numpy().tolist() == list(best["b"]) and not hasattr(
        loaded, "serve_known"
    )
    draw_model(tmp_path / "model.png", model)
    assert (tmp_path / "model.png").stat().st_size > 5000
    assert links(model) == ([("a", "b")], [])
    assert keras.models.clone_model(model).dependence == model.dependence == TaskChain(("a", "b"))


def test_a_chain_without_pairwise_scores_is_none():
    x, y = data()
    losses = []
    for dependence in (None, TaskChain(("b", "a"))):
        keras.utils.set_random_seed(0)
        model = mtlkeras.build_model((4,), MLP(depth=1, width=6), HEADS, dependence=dependence)
        model.compile("sgd", run_eagerly=EAGERLY)
        losses.append(model.evaluate(x, y, verbose=0, return_dict=True))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.slow_on_jax
@pytest.mark.eager
def test_labels_may_be_left_out_weighed_and_rows():
    model = build(sharing=MMoE(experts=2))
    model.compile("sgd", run_eagerly=EAGERLY)
    x, y = data()
    rows = {**y, "a": np.where(y["a"][:, None] < 0, -1.0, np.eye(3)[y["a"]])}
    whole = model.evaluate(x, y, verbose=0, return_dict=True)
    assert model.evaluate(x, rows, verbose=0, return_dict=True) == pytest.approx(whole, rel=1e-5)
    alone = model.evaluate(x, {"b": y["b"]}, verbose=0, return_dict=True)
    assert alone["a_loss"] == 0.0 and np.isfinite(alone["b_loss"])
    one = model.predict_labels(x[:1], joint=True, verbose=0)
    assert one["b"].shape == (1,) and model.predict_labels(x[:0], joint=True, verbose=0)["b"].shape == (0,)
    nothing = {task: np.full(24, np.nan) for task in HEADS}
    model.reset_metrics()  # Before 3.15 Keras does not do so by itself.
    assert model.train_on_batch(x, nothing, return_dict=True)["loss"] == 0.0
    weights = {"a": np.zeros(24), "b": np.ones(24)}
    weighed = model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert weighed["a_loss"] == 0.0 and weighed["b_loss"] == pytest.approx(whole["b_loss"], rel=1e-5)
    single = {"a": np.array([2]), "b": np.array([-1])}
    assert np.isfinite(model.train_on_batch(x[:1], single, return_dict=True)["loss"])


def test_what_cannot_be_a_chain_is_told():
    for order, heads, message in [
        (("a",), HEADS, "order must name at least two tasks"),
        (("a", "b", "a"), HEADS, "order names the task 'a' twice"),
        (("a", "bb"), HEADS, "Unknown task 'bb'.*order= of TaskChain.*'b'"),
        (("a", "n"), HEADS, "that of task 'n' is Regression"),
        (("a", "s"), {**HEADS, "s": Classification(2, label_smoothing=0.1)}, "Leave label_smoothing out"),
    ]:
        with pytest.raises(ValueError, match=message):
            mtlkeras.build_model((4,), MLP(), heads, dependence=TaskChain(order))
    with pytest.raises(ValueError, match="dependence: expected a dependence such as TaskChain"):
        mtlkeras.build_model((4,), MLP(), HEADS, dependence=TaskChain)
    with pytest.raises(ValueError, match="the task name 'dependence' is taken by the model itself"):
        mtlkeras.build_model((4,), MLP(), {"dependence": Regression()})


def test_what_cannot_be_asked_of_a_chain_is_told():
    model = build()
    x, y = data()
    with pytest.raises(ValueError, match="tasks meet elsewhere. Use at='parameters'"):
        model.compile("sgd", balancer=CAGrad())
    model.compile("sgd")
    with pytest.raises(ValueError, match="model.outputs_for_loss"):
        model.compute_loss(y=y, y_pred=model(x))
    with pytest.raises(ValueError, match="Unknown task 'n'.*known="):
        model.predict_labels(x, known={"n": y["n"]})
    with pytest.raises(ValueError, match="known= of task 'b': expected 24 labels"):
        model.predict_labels(x, known={"b": y["b"][:3]}, verbose=0)
    plain = mtlkeras.build_model((4,), MLP(), HEADS)
    with pytest.raises(ValueError, match="built without dependence="):
        plain.predict_labels(x, joint=True)
