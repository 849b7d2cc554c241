"""Losses and metrics of Keras, and of the user's own, in place of a head's: what they are given is right."""

import keras
import numpy as np
import pytest
import sklearn.metrics
from keras import ops

import mtlkeras
from mtlkeras.heads import Classification, CRFTagging, MultiLabel, Ordinal, Regression, Tagging
from tests.labels import toys
from tests.support import EAGERLY

ROWS = 12
HEADS = {
    "v": Regression(3),
    "pair": Classification(2),
    "kind": Classification(3),
    "marks": MultiLabel(3),
    "grade": Ordinal(4),
    "tags": Tagging(toys.TAGS),
    "crf": CRFTagging(toys.TAGS),
}


# JAX compiles each case, of whose shapes Python alone decides.
EVERY = 3 if keras.backend.backend() == "jax" else 1


@pytest.fixture(scope="module")
def made():
    model = toys.model(HEADS, run_eagerly=EAGERLY)
    x = toys.inputs(ROWS)
    rng = np.random.default_rng(3)
    y = {
        "v": rng.normal(size=(ROWS, 3)).astype("float32"),
        "pair": rng.integers(0, 2, ROWS),
        "kind": rng.integers(0, 3, ROWS),
        "marks": rng.integers(0, 2, (ROWS, 3)),
        "grade": rng.integers(0, 4, ROWS),
        "tags": rng.integers(0, 3, (ROWS, toys.TIME)),
        "crf": rng.integers(0, 3, (ROWS, toys.TIME)),
    }
    for task in ("pair", "kind", "grade"):
        y[task][[1, 5]] = mtlkeras.MISSING
    y["tags"][:, 1] = mtlkeras.MISSING
    y["crf"][3] = mtlkeras.MISSING
    y["v"][2, 1] = np.nan
    y["marks"][4, 0] = mtlkeras.MISSING
    outputs = {task: value.astype("float64") for task, value in model.predict(x, verbose=0).items()}
    return model, x, y, outputs


def log_of(made, task, name=None, **arguments):
    """One task's loss, or a metric, with other functions than its head's."""
    model, x, y, _ = made
    model.compile(
        keras.optimizers.SGD(0.0), run_eagerly=EAGERLY, **{k: {task: v} for k, v in arguments.items()}
    )
    logs = model.test_on_batch(x, {task: y[task]}, return_dict=True)
    return logs[f"{task}_{name or 'loss'}"]


def mse_of_rows(y, p):
    return ops.mean(ops.square(y - p), axis=-1)


def norm_of_rows(y, p):
    return ops.sqrt(ops.sum(ops.square(y - p), axis=-1))


def square_of_entries(y, p):
    return ops.square(y - p)


def cross_entropy_of_indices(y, p):
    return -ops.log(ops.take_along_axis(p, ops.expand_dims(ops.cast(y, "int32"), -1), axis=-1)[..., 0])


@pytest.mark.slow_on_jax
def test_losses_in_place_of_a_heads_own(made):
    _, _, y, p = made
    whole = ~np.isnan(y["v"]).any(-1)
    v, vp = y["v"][whole], p["v"][whole]
    cosine = -(v * vp).sum(-1) / np.linalg.norm(v, axis=-1) / np.linalg.norm(vp, axis=-1)
    known = y["kind"] >= 0
    kind, hot, kp = y["kind"][known], np.eye(3)[y["kind"][known]], p["kind"][known]
    ce = -np.log(kp[np.arange(len(kind)), kind])
    entries = (y["v"] - p["v"]) ** 2
    marks = y["marks"][(y["marks"] >= 0).all(-1)]
    mp = p["marks"][(y["marks"] >= 0).all(-1)]
    tags = y["tags"] >= 0
    tag_ce = -np.log(np.take_along_axis(p["tags"], np.maximum(y["tags"], 0)[..., None], -1)[..., 0])[tags]
    grade = y["grade"][y["grade"] >= 0]
    gp = p["grade"][y["grade"] >= 0]
    cases = [
        ("v", "cosine_similarity", cosine.mean()),
        ("v", keras.losses.CosineSimilarity(), cosine.mean()),
        ("v", norm_of_rows, np.linalg.norm(v - vp, axis=-1).mean()),
        ("v", square_of_entries, np.nanmean(entries, -1).mean()),
        ("v", "mse", np.nanmean(entries, -1).mean()),
        (
            "v",
            keras.losses.Huber(),
            np.nanmean(np.where(entries < 1, entries / 2, entries**0.5 - 0.5), -1).mean(),
        ),
        ("kind", keras.losses.SparseCategoricalCrossentropy(), ce.mean()),
        ("kind", "sparse_categorical_crossentropy", ce.mean()),
        ("kind", keras.losses.SparseCategoricalCrossentropy(from_logits=True), ce.mean()),
        ("kind", keras.losses.SparseCategoricalCrossentropy(ignore_class=0), ce[kind != 0].mean()),
        ("kind", "categorical_crossentropy", ce.mean()),
        ("kind", keras.losses.CategoricalCrossentropy(from_logits=True), ce.mean()),
        ("kind", "mse", ((hot - kp) ** 2).mean()),
        ("kind", mse_of_rows, ((hot - kp) ** 2).mean()),
        ("kind", cross_entropy_of_indices, ce.mean()),
        ("kind", keras.losses.KLDivergence(), ce.mean()),
        (
            "kind",
            keras.losses.Dice(axis=-1),
            (1 - 2 * (hot * kp).sum(-1) / (hot.sum(-1) + kp.sum(-1))).mean(),
        ),
        ("grade", "mse", ((np.eye(4)[grade] - gp) ** 2).mean()),
        ("marks", keras.losses.Dice(axis=-1), (1 - 2 * (marks * mp).sum(-1) / (marks + mp).sum(-1)).mean()),
        ("tags", "sparse_categorical_crossentropy", tag_ce.mean()),
        ("tags", keras.losses.CategoricalCrossentropy(), tag_ce.mean()),
        ("tags", cross_entropy_of_indices, tag_ce.mean()),
    ]
    for task, loss, expected in cases[::EVERY]:
        np.testing.assert_allclose(
            log_of(made, task, loss=loss), expected, rtol=1e-4, err_msg=f"{task} {loss}"
        )


def test_losses_that_do_not_go_with_a_task_are_refused(made):
    model = made[0]
    for task, loss, told in [
        (
            "kind",
            keras.losses.Dice(),
            r"Dice of task 'kind' must give one value per example, shape \(batch,\)",
        ),
        (
            "marks",
            "sparse_categorical_crossentropy",
            "takes class indices .* task 'marks'|task 'marks' takes class",
        ),
        ("grade", keras.losses.CategoricalCrossentropy(from_logits=True), "Leave from_logits out"),
        ("v", lambda y, p: ops.mean(y - p), r"task 'v' must give one value per example"),
        ("kind", lambda y, p: y - p, r"task 'kind' must give one value .*labels \(batch,\)"),
        ("kind", keras.losses.MeanSquaredError(reduction="sum"), "reduction='sum' does not fit"),
    ]:
        with pytest.raises(ValueError, match=told):
            model.compile("sgd", loss={task: loss})


def test_rows_for_a_loss_of_indices_are_refused(made):
    model, x, _, _ = made
    model.compile("sgd", loss={"kind": "sparse_categorical_crossentropy"}, run_eagerly=EAGERLY)
    with pytest.raises(ValueError, match=r"task 'kind' takes class indices .* rows of shape \(batch, 3\)"):
        model.test_on_batch(x, {"kind": np.eye(3)[[0, 1, 2] * 4]})


def test_metrics_in_place_of_a_heads_own(made):
    _, _, y, p = made
    known = y["pair"] >= 0
    pair, score = y["pair"][known], p["pair"][known, 1]
    yes = score > 0.5
    three = y["kind"] >= 0
    kind, kp = y["kind"][three], p["kind"][three]
    whole = (y["marks"] >= 0).all(-1)
    entry = y["marks"] >= 0
    tags = y["tags"] >= 0
    best = p["tags"].argmax(-1)
    metrics = keras.metrics
    cases = [
        ("pair", metrics.Precision(), sklearn.metrics.precision_score(pair, yes, zero_division=0)),
        ("pair", metrics.Recall(), sklearn.metrics.recall_score(pair, yes)),
        ("pair", metrics.BinaryAccuracy(), (yes == pair).mean()),
        ("pair", metrics.AUC(num_thresholds=2000), sklearn.metrics.roc_auc_score(pair, score)),
        (
            "pair",
            metrics.Recall(class_id=0),
            sklearn.metrics.recall_score(1 - pair, p["pair"][known, 0] > 0.5),
        ),
        (
            "pair",
            metrics.F1Score(average="macro"),
            sklearn.metrics.f1_score(pair, score > 0.5, average="macro"),
        ),
        (
            "kind",
            metrics.F1Score(average="macro"),
            sklearn.metrics.f1_score(kind, kp.argmax(-1), average="macro"),
        ),
        ("kind", metrics.CategoricalAccuracy(), (kp.argmax(-1) == kind).mean()),
        ("kind", "sparse_categorical_accuracy", (kp.argmax(-1) == kind).mean()),
        ("kind", metrics.MeanSquaredError(), ((np.eye(3)[kind] - kp) ** 2).mean()),
        ("kind", mse_of_rows, ((np.eye(3)[kind] - kp) ** 2).mean()),
        ("kind", metrics.MeanIoU(num_classes=3, dtype="float32"), _mean_iou(kind, kp.argmax(-1))),
        ("grade", "sparse_categorical_accuracy", None),
        (
            "marks",
            metrics.CategoricalAccuracy(),
            (p["marks"][whole].argmax(-1) == y["marks"][whole].argmax(-1)).mean(),
        ),
        ("marks", metrics.BinaryAccuracy(), ((p["marks"] > 0.5) == y["marks"])[entry].mean()),
        ("marks", metrics.Precision(), _precision(y["marks"][entry], p["marks"][entry] > 0.5)),
        ("v", metrics.RootMeanSquaredError(), np.sqrt(np.nanmean((y["v"] - p["v"]) ** 2))),
        ("v", norm_of_rows, np.linalg.norm((y["v"] - p["v"])[~np.isnan(y["v"]).any(-1)], axis=-1).mean()),
        ("tags", metrics.SparseCategoricalAccuracy(), (best == y["tags"])[tags].mean()),
        ("tags", metrics.Accuracy(), (best == y["tags"])[tags].mean()),
        ("tags", metrics.F1Score(average="micro"), (best == y["tags"])[tags].mean()),
    ]
    if keras.backend.backend() == "jax":  # Where Keras' own counts in int64, which JAX warns of.
        cases = [case for case in cases if not isinstance(case[1], metrics.MeanIoU)]
    for task, metric, expected in cases[::EVERY]:
        name = metric if isinstance(metric, str) else getattr(metric, "name", None) or metric.__name__
        found = log_of(made, task, name, metrics=metric)
        if expected is None:
            known = y[task] >= 0
            expected = (p[task].argmax(-1) == y[task])[known].mean()
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-6, err_msg=f"{task} {name}")


def _precision(y, yes):
    return (y[yes] == 1).mean() if yes.any() else 0.0


def _mean_iou(y, p):
    both = [((y == c) & (p == c)).sum() / max(((y == c) | (p == c)).sum(), 1) for c in range(3)]
    return np.mean([v for v, c in zip(both, range(3), strict=True) if ((y == c) | (p == c)).any()])


@pytest.mark.slow_on_jax
def test_metrics_of_a_chain_see_its_marginals(made):
    model, x, y, p = made
    mask = np.ones((ROWS, toys.TIME), bool)
    marginals = np.asarray(model.get_layer("crf").crf.marginals(p["crf"].astype("float32"), mask))
    known = y["crf"] >= 0
    found = log_of(made, "crf", "sparse_categorical_crossentropy", metrics="sparse_categorical_crossentropy")
    expected = -np.log(np.take_along_axis(marginals, np.maximum(y["crf"], 0)[..., None], -1)[..., 0])[known]
    np.testing.assert_allclose(found, expected.mean(), rtol=1e-4)


def test_a_metric_object_belongs_to_one_task(made):
    model, x, y, p = made
    shared = Regression(3, metrics=[keras.metrics.MeanAbsoluteError(name="off")])
    both = toys.model({"a": shared, "b": shared}, run_eagerly=EAGERLY)
    labels = {"a": y["v"], "b": y["v"] * 100}
    logs = both.test_on_batch(x, labels, return_dict=True)
    outputs = both.predict(x, verbose=0)
    for task in labels:
        np.testing.assert_allclose(
            logs[f"{task}_off"], np.nanmean(abs(outputs[task] - labels[task])), rtol=1e-5
        )
    one = keras.metrics.MeanAbsoluteError(name="off")
    both.compile("sgd", metrics={"a": [one], "b": [one]}, run_eagerly=EAGERLY)
    logs = both.test_on_batch(x, labels, return_dict=True)
    for task in labels:
        np.testing.assert_allclose(
            logs[f"{task}_off"], np.nanmean(abs(outputs[task] - labels[task])), rtol=1e-5
        )
    np.testing.assert_allclose(float(one.result()), logs["a_off"])  # The first task has the object itself.


def test_no_log_without_its_task(made):
    model, x, y, _ = made
    for names in ({"pair": "p", "kind": "p"}, {"pair": "q", "kind": "q"}):
        model.compile(
            "sgd",
            metrics={task: [keras.metrics.MeanSquaredError(name=name)] for task, name in names.items()},
            run_eagerly=EAGERLY,
        )
        logs = model.test_on_batch(x, {t: y[t] for t in ("pair", "kind")}, return_dict=True)
        bare = [name for name in logs if name != "loss" and not any(name.startswith(f"{t}_") for t in HEADS)]
        assert not bare and not [n for n in logs if n.endswith("_p")] or "p" in names.values()


def test_specs_of_metrics_and_weights_may_be_numpys(made):
    model = made[0]
    model.compile(
        "sgd",
        loss_weights={"v": np.float32(0.5), "kind": np.array(2), "pair": np.int64(3)},
        metrics={"kind": np.str_("accuracy"), "pair": None, "v": ("mae",)},
    )
    weights = {task: objective.weight for task, objective in model._objectives.items()}
    assert (weights["v"], weights["kind"], weights["pair"]) == (0.5, 2.0, 3.0)
    for bad in ("2", np.array([1.0, 2.0]), np.nan, -1):
        with pytest.raises(ValueError, match="loss_weights of task 'v'"):
            model.compile("sgd", loss_weights={"v": bad})
