"""Metrics of several tasks at once, with a dependence and without, against sums over all assignments."""

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, CRFTagging, MultiLabel, Ordinal, Regression
from mtlkeras.metrics import ExactMatch, HammingLoss, JointLogLikelihood
from mtlkeras.trunks import MLP, BiLSTM
from tests.dependence import all_assignments as brute
from tests.support import EAGERLY

pytestmark = pytest.mark.eager
HEADS = {"a": Classification(3), "m": MultiLabel(3), "o": Ordinal(3), "alone": Classification(2)}
TREE = TaskChain(tree=(("m/1", "a"), ("m/1", "o"), ("o", "m/0")))
TASKS = tuple(HEADS)
X = np.random.default_rng(0).normal(size=(brute.ROWS, 4)).astype("float32")
Y = {
    "a": np.array([0, -1, 2, 1, -1, 2]),
    "m": np.array([[1, -1, 0], [-1, -1, -1], [1, 1, 0], [0, 0, 0], [-1, -1, -1], [1, -1, 1]]),
    "o": np.array([2, 1, -1, 0, -1, 1]),
    "alone": np.array([0, 1, 1, -1, -1, 0]),
}


def metrics():
    return [
        ExactMatch(TASKS),
        ExactMatch(("a", "m", "o"), joint=True),
        HammingLoss(TASKS),
        HammingLoss(("m", "alone"), joint=True),
        JointLogLikelihood(TASKS),
        JointLogLikelihood(("m", "o"), name="of_two"),
    ]


def build(dependence, heads=HEADS, **arguments):
    keras.utils.set_random_seed(1)
    model = mtlkeras.build_model((4,), MLP(depth=1, width=5), heads, dependence=dependence)
    model.compile("sgd", joint_metrics=metrics(), run_eagerly=EAGERLY, **arguments)
    for weight in model.weights:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape))
    return model


def log_of(table, ys):
    return np.log(brute.total(brute.fitting(table, ys)))


@pytest.mark.slow_on_jax
def test_metrics_are_those_of_all_assignments_however_batches_fall(tmp_path):
    model = build(TREE)
    layer = model.get_layer("dependence")
    scores = {t: ops.convert_to_numpy(s) for t, s in model.outputs_for_loss(X).dependent.items()}
    table = brute.joint_table(layer, scores)
    alone = model.predict(X, verbose=0)["alone"]
    ys, mode = brute.by_link(layer, Y), brute.best(table)
    each = np.stack([p.argmax(1) for p in brute.marginals(table)], axis=1)
    ordinal = [link.task for link in layer.links].index("o")
    each[:, ordinal] = (np.cumsum(brute.marginals(table)[ordinal], 1) < 0.5).sum(1)  # The median.
    c, given = Y["alone"], Y["alone"] >= 0
    whole = (Y["a"] >= 0) & (Y["m"] >= 0).any(1) & (Y["o"] >= 0)
    right = ((each == ys) | (ys < 0)).all(1) & (alone.argmax(1) == c)
    labels = np.array([link.task == "m" for link in layer.links]) & (ys >= 0)
    wrong_alone = (alone.argmax(1) != c) & given
    lone_log = np.where(given, np.log(alone[np.arange(6), np.maximum(c, 0)]), 0.0)
    any_label = (ys >= 0).any(1) | given
    of_two = np.where([link.task == "a" for link in layer.links], -1, ys)
    expected = {
        "exact_match": right[whole & given].mean(),
        "joint_exact_match": ((mode == ys) | (ys < 0)).all(1)[whole].mean(),
        "hamming_loss": (((each != ys) & (ys >= 0)).sum() + wrong_alone.sum())
        / ((ys >= 0).sum() + given.sum()),
        "joint_hamming_loss": (((mode != ys) & labels).sum() + wrong_alone.sum())
        / (labels.sum() + given.sum()),
        "joint_log_likelihood": (log_of(table, ys) + lone_log)[any_label].mean(),
        "of_two": log_of(table, of_two)[(of_two >= 0).any(1)].mean(),
    }
    logs = model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)
    assert {name: logs[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    model.save(tmp_path / "m.keras")
    again = mtlkeras.load_model(tmp_path / "m.keras")
    assert again.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(logs, rel=1e-5)
    with_losses = [
        -(logs[f"{task}_loss"] * seen.sum())
        for task, seen in {
            "a": Y["a"] >= 0,
            "m": (Y["m"] >= 0).any(1),
            "o": Y["o"] >= 0,
            "alone": given,
        }.items()
    ]
    assert sum(with_losses) / any_label.sum() == pytest.approx(expected["joint_log_likelihood"], rel=1e-5)
    trained = model.fit(X, {t: Y[t] for t in ("m", "a")}, verbose=0).history  # Without labels of some tasks.
    assert trained["exact_match"] == [0.0] and trained["joint_log_likelihood"][0] < 0


@pytest.mark.slow_on_jax
def test_of_independent_tasks_the_likelihood_is_the_sum_and_the_mode_each_best():
    logs = build(None).evaluate(X, Y, batch_size=5, verbose=0, return_dict=True)
    outputs = build(None).predict(X, verbose=0)
    known = {task: y >= 0 for task, y in Y.items()}
    total = sum(
        np.where(known[t], np.log(outputs[t][np.arange(6), np.maximum(Y[t], 0)]), 0.0)
        for t in ("a", "o", "alone")
    )
    p = np.where(Y["m"] == 1, outputs["m"], 1 - outputs["m"])
    total = total + np.where(known["m"], np.log(p), 0.0).sum(1)
    counted = known["m"].any(1) | known["a"] | known["o"] | known["alone"]
    assert logs["joint_log_likelihood"] == pytest.approx(total[counted].mean(), rel=1e-5)
    model = build(None)
    for joint in (False, True):
        model.compile("sgd", joint_metrics=[HammingLoss(TASKS, joint), ExactMatch(TASKS, joint=joint)])
        found = model.evaluate(X, Y, verbose=0, return_dict=True)
        prefix = "joint_" if joint else ""
        assert found[f"{prefix}hamming_loss"] == pytest.approx(logs["hamming_loss"], rel=1e-6)
        assert found[f"{prefix}exact_match"] == pytest.approx(logs["exact_match"], rel=1e-6)


def test_hamming_loss_is_that_of_scikit_learn():
    from sklearn.metrics import hamming_loss

    rng = np.random.default_rng(0)
    right, found = rng.integers(0, 2, (2, 9, 4))
    metric = HammingLoss(("m",))
    metric.update_state({"m": right}, {"m": found}, {"m": np.ones((9, 4), bool)})
    assert float(metric.result()) == pytest.approx(hamming_loss(right, found))


@pytest.mark.slow_on_jax
def test_what_has_no_joint_likelihood_is_told():
    for head, message in [
        (Regression(), "the head of task 'x' has no classes"),
        (CRFTagging(("p", "q")), "Classification, Ordinal and MultiLabel; that of task 'x' is CRFTagging"),
    ]:
        trunk = BiLSTM(units=2, vocabulary_size=5, embedding_units=2)
        model = mtlkeras.build_model(keras.Input((None,), dtype="int32"), trunk, {"x": head})
        with pytest.raises(ValueError, match=message):
            model.compile("sgd", joint_metrics=JointLogLikelihood(("x",)))
    model = build(TREE)
    model.evaluate(X, Y, verbose=0)
    with pytest.raises(ValueError, match="model.outputs_for_loss"):
        model.compute_metrics(X, Y, dict(model(X)))
