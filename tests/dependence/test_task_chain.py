"""The chain over tasks against sums over all assignments, and its errors."""

import itertools

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
from tests.support import EAGERLY, softmax

CLASSES = {"a": 3, "b": 2, "c": 4, "d": 3}
ORDER = tuple(CLASSES)
ROWS = 7


def chain_and_scores(seed=0):
    rng = np.random.default_rng(seed)
    layer = TaskChain(ORDER).layer({task: Classification(n) for task, n in CLASSES.items()})
    scores = {task: rng.normal(scale=2.0, size=(ROWS, n)).astype("float32") for task, n in CLASSES.items()}
    layer(scores)
    for table in layer.transitions:
        table.assign(rng.normal(scale=2.0, size=table.shape))
    return layer, scores


def table_of_all(layer, scores):
    """Returns the probability of every assignment, shape `(rows, 3, 2, 4, 3)`, by enumeration."""
    tables = [ops.convert_to_numpy(t).astype("float64") for t in layer.transitions]
    log = np.zeros((ROWS, *CLASSES.values()))
    for ys in itertools.product(*(range(n) for n in CLASSES.values())):
        own = sum(scores[task][:, y] for task, y in zip(ORDER, ys, strict=True))
        log[(slice(None), *ys)] = own + sum(t[a, b] for t, a, b in zip(tables, ys[:-1], ys[1:], strict=True))
    return softmax(log.reshape(ROWS, -1)).reshape(log.shape)


def some_labels(seed=1):
    """Returns labels of which about half are missing."""
    rng = np.random.default_rng(seed)
    return {
        task: np.where(rng.random(ROWS) < 0.5, -1, rng.integers(0, n, ROWS)).astype("int32")
        for task, n in CLASSES.items()
    }


def as_evidence(labels):
    return {t: (ops.convert_to_tensor(y), ops.convert_to_tensor(y >= 0)) for t, y in labels.items()}


def probability_of(table, labels, upto):
    """Returns the probability of the known labels of the first tasks, by a sum over all that fit."""
    found = []
    for row in range(ROWS):
        picks = tuple(
            slice(None) if k >= upto or labels[t][row] < 0 else labels[t][row] for k, t in enumerate(ORDER)
        )
        found.append(table[row][picks].sum())
    return np.array(found)


def test_losses_are_the_conditionals_and_add_up_to_the_joint_likelihood():
    layer, scores = chain_and_scores()
    labels, table = some_labels(), table_of_all(layer, scores)
    found = layer.losses_by_task(scores, as_evidence(labels))
    total = 0.0
    for k, task in enumerate(ORDER):
        expected = -np.log(probability_of(table, labels, k + 1) / probability_of(table, labels, k))
        values = ops.convert_to_numpy(found[task])
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=2e-6)
        assert np.abs(values[labels[task] < 0]).max() < 2e-6
        total = total + values
    np.testing.assert_allclose(total, -np.log(probability_of(table, labels, 4)), rtol=1e-5, atol=2e-6)


def test_outputs_are_the_marginals_and_the_conditionals():
    layer, scores = chain_and_scores()
    labels, table = some_labels(), table_of_all(layer, scores)
    free, given = layer(scores), layer.given(scores, as_evidence(labels))
    for k, task in enumerate(ORDER):
        others = tuple(1 + i for i in range(4) if i != k)
        found = softmax(ops.convert_to_numpy(free[task]))
        np.testing.assert_allclose(found, table.sum(others), rtol=1e-4, atol=1e-6)
        fitting = table.copy()
        for i, other in enumerate(ORDER):
            shape = [ROWS if axis == 0 else CLASSES[other] if axis == i + 1 else 1 for axis in range(5)]
            fits = (labels[other][:, None] < 0) | (labels[other][:, None] == np.arange(CLASSES[other]))
            fitting = fitting * fits.reshape(shape)
        expected = fitting.sum(others) / fitting.sum((1, 2, 3, 4))[:, None]
        found = softmax(ops.convert_to_numpy(given[task]))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("known", [False, True])
def test_the_mode_is_the_best_of_all_assignments(known):
    layer, scores = chain_and_scores()
    labels = some_labels() if known else {}
    table = table_of_all(layer, scores)
    found = layer.mode(scores, as_evidence(labels))
    ys = np.stack([ops.convert_to_numpy(found[task]) for task in ORDER], axis=1)
    for row in range(ROWS):
        fitting = [
            (table[row][y], y)
            for y in itertools.product(*(range(n) for n in CLASSES.values()))
            if all(labels[t][row] in (-1, c) for t, c in zip(ORDER, y, strict=True) if t in labels)
        ]
        assert tuple(ys[row]) == max(fitting)[1]


def test_rows_of_probabilities_are_uncertain_evidence():
    layer, scores = chain_and_scores()
    rows = softmax(np.random.default_rng(3).normal(size=(ROWS, 2)).astype("float32"))
    known = {"b": (ops.convert_to_tensor(rows), ops.ones((ROWS,), "bool"))}
    found = ops.convert_to_numpy(layer.losses_by_task(scores, known)["b"])
    marginals = table_of_all(layer, scores).sum((1, 3, 4))
    np.testing.assert_allclose(found, -np.log((rows * marginals).sum(1)), rtol=1e-5)


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
@pytest.mark.parametrize("balancer", [Uncertainty(), CAGrad(at="parameters")])
def test_a_model_learns_saves_and_answers(balancer, tmp_path):
    model = build()
    model.compile(keras.optimizers.Adam(0.05), balancer=balancer, run_eagerly=EAGERLY)
    x, y = data()
    history = model.fit(x, y, epochs=6, batch_size=12, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    layer = model.get_layer("dependence")
    assert np.abs(ops.convert_to_numpy(layer.transitions[0])).max() > 0.01
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


@pytest.mark.tensorflow
def test_it_exports_and_is_drawn(tmp_path):
    import tensorflow as tf

    from mtlkeras._app.report.diagram import draw_model, links

    model = build()
    model.compile("sgd", run_eagerly=True)
    x, y = data()
    model.fit(x, y, verbose=0)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    raw = loaded.serve_raw(x)
    for task, outputs in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(raw[task], outputs, rtol=1e-5, atol=1e-6)
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
