"""The joint objective and its gradient against NumPy, with labels missing in every way."""

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras.heads import Classification, Regression
from tests.support import EAGERLY, all_heads, examples, sigmoid, softmax, tiny_model

pytestmark = pytest.mark.eager


def linear_model(**compile_args):
    """Heads straight on five numbers, so that gradients have a closed form."""
    inputs = keras.Input((5,), name="x")
    body = keras.Model(inputs, keras.layers.Dense(4, use_bias=False, name="shared")(inputs))
    heads = all_heads()
    model = mtlkeras.build_model(keras.Input((5,), name="x"), body, heads)
    model.compile(keras.optimizers.SGD(1.0), **compile_args)
    return model


def labels_with_gaps(count=30):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(count, 5)).astype("float32")
    y = examples(count, missing=0.4, seed=4)[1]
    return x, y


def numpy_gradients(model, x, y, weights, sample_weight=None):
    """Gradients of the joint objective with respect to the shared kernel and each head's kernel."""
    kernel = np.asarray(model.get_layer("trunk").get_layer("shared").kernel)
    hidden = x @ kernel
    shared, own, losses = np.zeros_like(hidden), {}, {}
    for task, head in model.heads.items():
        dense = model.get_layer(f"{task}_logits")
        w, b = np.asarray(dense.kernel, "float64"), np.asarray(dense.bias, "float64")
        scores, target = hidden @ w + b, y[task]
        if isinstance(head, Classification):
            known = target != -1
            p, hot = softmax(scores), np.eye(3)[np.where(known, target, 0)]
            loss, g = -np.log((p * hot).sum(-1)), p - hot
        elif isinstance(head, Regression):
            entry = ~np.isnan(target)
            known, share = entry.any(-1), np.maximum(entry.sum(-1), 1)
            error = np.where(entry, scores - np.where(entry, target, 0), 0)
            loss, g = (error**2).sum(-1) / share, 2 * error / share[:, None]
        elif task == "marks":
            entry = target != -1
            known, share = entry.any(-1), np.maximum(entry.sum(-1), 1)
            t = np.where(entry, target, 0)
            values = np.where(t == 1, np.log1p(np.exp(-scores)), np.log1p(np.exp(scores)))
            loss = np.where(entry, values, 0).sum(-1) / share
            g = np.where(entry, sigmoid(scores) - t, 0) / share[:, None]
        else:
            known = target != -1
            cumulative = scores - np.array([-1.0, 0.0, 1.0])
            above = np.where(known, target, 0)[:, None] > np.arange(3)
            loss = np.where(above, np.log1p(np.exp(-cumulative)), np.log1p(np.exp(cumulative))).sum(-1)
            g = (sigmoid(cumulative) - above).sum(-1, keepdims=True)
        factor = (
            np.ones(len(x)) if sample_weight is None or task not in sample_weight else sample_weight[task]
        )
        known = known & (factor != 0)
        count = max(known.sum(), 1)
        losses[task] = (loss * factor)[known].sum() / count
        g = g * (known * factor)[:, None] * weights.get(task, 1.0) / count
        own[task] = hidden.T @ g
        shared += g @ w.T
    return x.T @ shared, own, losses


@pytest.mark.parametrize("sample_weighted", [False, True])
def test_gradient_with_missing_labels_equals_numpy(sample_weighted):
    weights = {"kind": 0.5, "grade": 3.0}
    model = linear_model(loss_weights=weights)
    x, y = labels_with_gaps()
    sample_weight = None
    if sample_weighted:
        rng = np.random.default_rng(5)
        sample_weight = {
            "kind": rng.random(30).astype("float32"),
            "size": (rng.random(30) > 0.5).astype("float32"),
        }
    before = {v.path: np.asarray(v) for v in model.trainable_variables}
    shared, own, losses = numpy_gradients(model, x, y, weights, sample_weight)
    logs = model.fit(x, y, batch_size=30, epochs=1, verbose=0, shuffle=False, sample_weight=sample_weight)
    steps = {v.path: before[v.path] - np.asarray(v) for v in model.trainable_variables}
    kernel = model.get_layer("trunk").get_layer("shared").kernel.path
    np.testing.assert_allclose(steps[kernel], shared, atol=1e-5)
    for task, gradient in own.items():
        np.testing.assert_allclose(steps[model.get_layer(f"{task}_logits").kernel.path], gradient, atol=1e-5)
        np.testing.assert_allclose(logs.history[f"{task}_loss"][0], losses[task], rtol=1e-5)
    total = sum(weights.get(task, 1.0) * loss for task, loss in losses.items())
    np.testing.assert_allclose(logs.history["loss"][0], total, rtol=1e-5)


def test_logs_are_exact_means_however_the_batches_fall():
    x, y = examples(23, missing=0.5)
    model = tiny_model()
    whole = model.evaluate(x, y, batch_size=23, verbose=0, return_dict=True)
    for batch_size in (1, 4, 22):
        parts = model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True)
        assert parts.keys() == whole.keys()
        for name, value in whole.items():
            np.testing.assert_allclose(
                parts[name], value, rtol=2e-5, err_msg=f"{name}, batches of {batch_size}"
            )


def test_logs_equal_numpy_over_labelled_examples():
    x, y = examples(23, missing=0.5)
    model = tiny_model(metrics={"size": ["mae", "rmse"], "marks": ["accuracy", "f1"]})
    logs = model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)
    kind = y["kind"] != -1
    np.testing.assert_allclose(
        logs["kind_accuracy"], (p["kind"].argmax(-1) == y["kind"])[kind].mean(), rtol=1e-6
    )
    np.testing.assert_allclose(
        logs["kind_loss"], -np.log(p["kind"][np.arange(23), y["kind"]])[kind].mean(), rtol=1e-5
    )
    error = abs(p["size"] - y["size"])
    np.testing.assert_allclose(logs["size_mae"], np.nanmean(error), rtol=1e-5)
    np.testing.assert_allclose(logs["size_rmse"], np.sqrt(np.nanmean(error**2)), rtol=1e-5)
    entry = y["marks"] != -1
    np.testing.assert_allclose(
        logs["marks_accuracy"], ((p["marks"] > 0.5) == y["marks"])[entry].mean(), rtol=1e-5
    )
    yes = (p["marks"] > 0.5) & entry
    hits = (yes & (y["marks"] == 1)).sum(0)
    f1 = 2 * hits / np.maximum(yes.sum(0) + (y["marks"] == 1).sum(0), 1)
    np.testing.assert_allclose(logs["marks_f1"], f1.mean(), rtol=1e-5)


def test_batch_without_labels_for_a_task_gives_zero_loss_and_no_nan():
    x, y = examples(8)
    y["size"][:] = np.nan
    y["kind"][:] = mtlkeras.MISSING
    model = tiny_model()
    before = {v.path: np.asarray(v) for v in model.trainable_variables}
    logs = model.fit(x, y, verbose=0, batch_size=4).history
    assert logs["size_loss"] == [0.0] and logs["kind_loss"] == [0.0]
    assert all(np.isfinite(v).all() for v in logs.values())
    for task in ("size", "kind"):
        kernel = model.get_layer(f"{task}_logits").kernel
        np.testing.assert_array_equal(before[kernel.path], np.asarray(kernel))
    assert all(np.isfinite(np.asarray(v)).all() for v in model.trainable_variables)


def test_a_task_left_out_of_the_labels_adds_zero():
    x, y = examples(8)
    model = tiny_model()
    full = model.evaluate(x, y, verbose=0, return_dict=True)
    some = model.evaluate(x, {"kind": y["kind"], "size": None}, verbose=0, return_dict=True)
    np.testing.assert_allclose(some["kind_loss"], full["kind_loss"], rtol=1e-6)
    np.testing.assert_allclose(some["loss"], full["kind_loss"], rtol=1e-6)
    assert some["size_loss"] == 0.0
    model.fit(x, {"kind": y["kind"]}, verbose=0)
    assert np.isfinite(model.evaluate(x, y, verbose=0, return_dict=True)["loss"])


def test_regularisers_count_once_in_the_joint_loss():
    x, y = examples(10)
    model = tiny_model(l2=0.3, loss_weights={"kind": 2.0})
    logs = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    kernel = np.asarray(model.trunk.get_layer("conv").kernel)
    weights = {"kind": 2.0}
    expected = sum(weights.get(t, 1.0) * logs[f"{t}_loss"] for t in model.heads) + 0.3 * (kernel**2).sum()
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


def test_class_weight_of_the_head_equals_that_of_fit_and_that_of_examples():
    x, y = examples(12)
    labels = {"kind": y["kind"]}
    start = tiny_model({"kind": Classification(3)}).get_weights()

    def trained(head=None, **fit_args):
        model = tiny_model({"kind": head or Classification(3)}, optimizer=keras.optimizers.SGD(1.0))
        model.set_weights(start)
        model.fit(x, labels, verbose=0, batch_size=6, shuffle=False, **fit_args)
        return model.get_weights()

    by_fit = trained(class_weight={"kind": {1: 5.0}})
    by_head = trained(Classification(3, class_weight={1: 5.0}))
    by_example = trained(sample_weight={"kind": np.where(y["kind"] == 1, 5.0, 1.0)})
    plain = trained()
    for a, b, c in zip(by_fit, by_head, by_example, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_allclose(a, c, atol=1e-6)
    assert any(abs(a - b).max() > 1e-3 for a, b in zip(by_fit, plain, strict=True))


def test_class_weights_of_one_fit_do_not_reach_the_next():
    x, y = examples(12)
    model = tiny_model({"kind": Classification(3)}, optimizer=keras.optimizers.SGD(0.0))
    weighted = model.fit(x, {"kind": y["kind"]}, verbose=0, class_weight={"kind": {0: 9.0}}).history["loss"]
    plain = model.fit(x, {"kind": y["kind"]}, verbose=0).history["loss"]
    assert weighted[0] > plain[0] * 1.5
    np.testing.assert_allclose(plain[0], model.evaluate(x, {"kind": y["kind"]}, verbose=0)[0], rtol=1e-5)


def test_loss_and_metrics_can_be_replaced_for_some_tasks():
    x, y = examples(11, missing=0.3)
    model = tiny_model(
        loss={"size": "mean_absolute_error", "kind": keras.losses.SparseCategoricalCrossentropy()},
        metrics={"size": [keras.metrics.MeanSquaredError(name="mse")], "kind": "sparse_categorical_accuracy"},
    )
    logs = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)
    error = model.predict(x, verbose=0)["size"] - y["size"]
    rows = np.nanmean(abs(error[~np.isnan(error).all(-1)]), -1)
    np.testing.assert_allclose(logs["size_loss"], rows.mean(), rtol=1e-5)
    np.testing.assert_allclose(logs["size_mse"], np.nanmean(error**2), rtol=1e-5)
    default = tiny_model()
    default.set_weights(model.get_weights())
    expected = default.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["kind_loss"], expected["kind_loss"], rtol=1e-4)
    np.testing.assert_allclose(logs["kind_sparse_categorical_accuracy"], expected["kind_accuracy"], rtol=1e-6)
    assert "size_mae" not in logs and "marks_accuracy" in logs


def test_adapt_takes_mean_and_scale_of_the_labels_that_are_there():
    x, y = examples(40, missing=0.3)
    y["size"] = y["size"] * [3.0, 100.0] + [5.0, -200.0]
    model = tiny_model()
    model.adapt(y)
    layer = model.get_layer("size")
    np.testing.assert_allclose(np.asarray(layer.mean), np.nanmean(y["size"], 0), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.scale), np.nanstd(y["size"], 0), rtol=1e-5)
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    assert logs["size_loss"] < 5.0 < logs["size_mae"]  # The loss has no unit, the metric has.


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_heads_and_losses_stay_in_float32_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    x, y = examples(16, missing=0.3)
    model = tiny_model(optimizer="adam")
    assert model.trunk.get_layer("conv").compute_dtype != "float32"
    outputs = model(x)
    assert {keras.backend.standardize_dtype(t.dtype) for t in outputs.values()} == {"float32"}
    logs = model.fit(x, y, epochs=2, verbose=0).history
    assert all(np.isfinite(v).all() for v in logs.values())
    assert ops.shape(outputs["kind"]) == (16, 3)


class FailsOnce(mtlkeras.MultiTaskModel):
    """A model whose first loss fails."""

    fails = True

    def compute_loss(self, *args, **kwargs):
        if self.fails:
            raise RuntimeError("the first loss fails")
        return super().compute_loss(*args, **kwargs)


def test_a_step_that_fails_leaves_no_losses_behind():
    built = tiny_model(compiled=False, l2=0.1)
    model = FailsOnce(built.input, built.output)
    model.compile("sgd", run_eagerly=EAGERLY)
    x, y = examples(4)
    with pytest.raises(RuntimeError, match="the first loss fails"):
        model.train_on_batch(x, y)
    kernel = keras.ops.convert_to_numpy(model.trunk.get_layer("conv").kernel)
    assert float(sum(model.losses)) == pytest.approx(0.1 * (kernel**2).sum(), rel=1e-5)
    model.fails = False
    assert np.isfinite(model.train_on_batch(x, y, return_dict=True)["loss"])
