"""Each head's loss against NumPy, at any size of score, and its outputs against their meaning."""

import keras
import numpy as np
import pytest
from keras import ops

import mtlkeras
from mtlkeras._model.label_arrays import label_array
from mtlkeras.heads import Classification, Head, MultiLabel, Ordinal, Regression
from mtlkeras.layers.output import TaskOutput
from tests.support import sigmoid, softmax

SCORES = np.array([[0.5, -1.0, 2.0], [30.0, -40.0, 0.0], [0.0, 0.0, 0.0]], "float32")


def loss_of(head, labels, scores):
    """The loss of each label as the model computes it, given the scores of the last layer."""
    layer = head.output_layer("task")
    layer.build(scores.shape)
    labels = ops.convert_to_tensor(labels)
    mask = head.labelled(labels)
    values = head.loss(head.targets(labels, mask), layer.scores(ops.convert_to_tensor(scores)), layer)
    return np.where(ops.convert_to_numpy(mask), ops.convert_to_numpy(values), 0.0)


def log_softmax(scores):
    scores = scores.astype("float64")
    top = scores.max(-1, keepdims=True)
    return scores - top - np.log(np.exp(scores - top).sum(-1, keepdims=True))


def test_classification_by_index():
    expected = -log_softmax(SCORES)[np.arange(3), [2, 1, 0]]
    np.testing.assert_allclose(loss_of(Classification(3), np.array([2, 1, 0]), SCORES), expected, rtol=1e-5)


def test_classification_by_rows_equals_by_index():
    rows = np.eye(3, dtype="float32")[[2, 1, 0]]
    expected = loss_of(Classification(3), np.array([2, 1, 0]), SCORES)
    np.testing.assert_allclose(loss_of(Classification(3), rows, SCORES), expected, rtol=1e-5)


def test_classification_label_smoothing_and_class_weight():
    head = Classification(3, label_smoothing=0.3, class_weight={2: 4.0})
    rows = np.eye(3)[[2, 1, 0]] * 0.7 + 0.1
    expected = -(rows * log_softmax(SCORES)).sum(-1) * np.array([4.0, 1.0, 1.0])
    np.testing.assert_allclose(loss_of(head, np.array([2, 1, 0]), SCORES), expected, rtol=1e-5)


def test_multi_label_at_any_score_with_positive_weight():
    head = MultiLabel(3, positive_weight=(1.0, 2.0, 5.0))
    labels = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]])
    s = SCORES.astype("float64")
    expected = np.where(labels == 1, np.array([1.0, 2.0, 5.0]) * np.log1p(np.exp(-s)), np.log1p(np.exp(s)))
    np.testing.assert_allclose(loss_of(head, labels, SCORES), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"loss_kind": "mse"}, lambda e: e**2),
        ({"loss_kind": "mae"}, abs),
        ({"loss_kind": "huber"}, lambda e: np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5)),
        (
            {"loss_kind": "huber", "huber_delta": 2.5},
            lambda e: np.where(abs(e) <= 2.5, e**2 / 2, 2.5 * abs(e) - 3.125),
        ),
        ({"loss_kind": "log_cosh"}, lambda e: np.log(np.cosh(e))),
        ({"loss_kind": "quantile"}, lambda e: abs(e) / 2),
        ({"loss_kind": "quantile", "quantile": 0.9}, lambda e: np.where(e < 0, -0.9 * e, 0.1 * e)),
        (
            {"loss_kind": "quantile", "quantile": (0.1, 0.75)},
            lambda e: np.where(e < 0, [-0.1, -0.75] * e, [0.9, 0.25] * e),
        ),
    ],
)
def test_regression_on_the_standardised_scale(fields, expected):
    head = Regression(num_targets=2, mean=(10.0, -1.0), scale=(2.0, 0.5), **fields)
    scores = np.array([[0.5, -1.0], [3.0, 0.0], [-3.5, 9.0]], "float32")
    labels = np.array([[12.0, -1.0], [10.0, 0.5], [10.0, -1.0]], "float32")
    error = scores - (labels - [10.0, -1.0]) / [2.0, 0.5]
    np.testing.assert_allclose(loss_of(head, labels, scores), expected(error), rtol=1e-5, atol=1e-6)


def test_least_pinball_loss_is_at_the_quantile():
    labels, at = np.mgrid[:101, :101].astype("float32")  # A column for each answer.
    for quantile in (0.1, 0.5, 0.9):
        head = Regression(num_targets=101, loss_kind="quantile", quantile=quantile)
        assert np.argmin(loss_of(head, labels, at).mean(0)) == 100 * quantile


def focal_rows(rows, scores, gamma):
    log_p = log_softmax(scores)
    return -(rows * (-np.expm1(log_p)) ** gamma * log_p).sum(-1)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_classes_with_smoothing_and_weights(gamma):
    scores = np.random.default_rng(0).normal(0, 3, (40, 4)).astype("float32")
    labels = np.arange(40) % 4
    rows = np.eye(4)[labels]
    for head, expected in (
        (Classification(4, focal_gamma=gamma), focal_rows(rows, scores, gamma)),
        (
            Classification(4, focal_gamma=gamma, label_smoothing=0.2, class_weight={1: 3.0}),
            focal_rows(rows * 0.8 + 0.05, scores, gamma) * np.where(labels == 1, 3.0, 1.0),
        ),
    ):
        np.testing.assert_allclose(loss_of(head, labels, scores), expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(
            loss_of(head, rows.astype("float32"), scores), expected, rtol=1e-4, atol=1e-6
        )
    two = Classification(2, focal_gamma=gamma)  # As eq. 4 has it, for two classes.
    p = softmax(scores[:, :2])[np.arange(40), labels % 2]
    np.testing.assert_allclose(
        loss_of(two, labels % 2, scores[:, :2]), -((1 - p) ** gamma) * np.log(p), rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_of_labels_with_positive_weight(gamma):
    scores = np.random.default_rng(0).normal(0, 3, (40, 3)).astype("float32")
    labels = np.random.default_rng(1).integers(0, 2, (40, 3))
    head = MultiLabel(3, focal_gamma=gamma, positive_weight=(1.0, 2.0, 5.0))
    s = scores.astype("float64")
    p = np.where(labels == 1, sigmoid(s), sigmoid(-s))
    expected = np.where(labels == 1, [1.0, 2.0, 5.0], 1.0) * (1 - p) ** gamma * -np.log(p)
    np.testing.assert_allclose(loss_of(head, labels, scores), expected, rtol=1e-4, atol=1e-6)


def gradient(function, scores):
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.jit(jax.grad(lambda x: ops.sum(function(x))))(scores))
    import tensorflow as tf

    scores = tf.constant(scores)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        value = ops.sum(function(scores))
    return tape.gradient(value, scores).numpy()


EXTREMES = np.array([0.0, 1e-3, 17.0, 90.0, 200.0, 1e4], "float32")
LOSSES = [
    *(Classification(3, focal_gamma=gamma, label_smoothing=e) for gamma in (0.5, 2.0) for e in (0.0, 0.1)),
    *(MultiLabel(3, focal_gamma=gamma) for gamma in (0.5, 2.0)),
    *(Regression(num_targets=3, loss_kind=kind) for kind in ("huber", "log_cosh", "quantile", "mae")),
]


@pytest.mark.parametrize("head", LOSSES, ids=repr)
def test_gradients_are_finite_and_push_the_right_way_at_any_score(head):
    """A power of 1 - p that rounds to 0 has a gradient of 0 times infinity."""
    scores = np.stack(np.meshgrid(*[np.concatenate([-EXTREMES, EXTREMES])] * 3), -1).reshape(-1, 3)
    targets = {Classification: np.zeros(len(scores), "int32")}.get(
        type(head), np.zeros(scores.shape, "float32")
    )
    layer = head.output_layer("t")
    layer.build(scores.shape)
    values = ops.convert_to_numpy(
        head.loss(ops.convert_to_tensor(targets), ops.convert_to_tensor(scores), layer)
    )
    slopes = gradient(lambda x: head.loss(ops.convert_to_tensor(targets), x, layer), scores)
    assert np.isfinite(values).all() and np.isfinite(slopes).all() and (values >= 0).all()
    if not isinstance(head, Classification):
        assert (slopes[scores > 1] >= 0).all() and (slopes[scores == 200.0] > 0.4).all()
    elif not head.label_smoothing:  # A confident mistake is pushed as the cross-entropy pushes it.
        mistaken = scores[:, 1:].max(-1) > scores[:, 0] + 16
        assert mistaken.any() and (slopes[mistaken, 0] < -0.99).all()


def test_regression_outputs_are_in_label_units():
    layer = Regression(num_targets=2, mean=(10.0, -1.0), scale=(2.0, 0.5)).output_layer("t")
    outputs = layer(np.array([[1.0, 2.0]], "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), [[12.0, 0.0]])
    layer.adapt([0.0, 0.0], [1.0, 10.0])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(np.array([[1.0, 2.0]], "float32"))), [[1.0, 20.0]])


def test_ordinal_loss_and_class_probabilities():
    head = Ordinal(4)
    score = np.array([[0.3], [-2.0], [50.0]], "float32")
    thresholds = np.array([-1.0, 0.0, 1.0])  # One unit apart around zero, as the layer starts.
    cumulative = score.astype("float64") - thresholds
    labels = np.array([1, 0, 3])
    above = labels[:, None] > np.arange(3)
    expected = np.where(above, np.log1p(np.exp(-cumulative)), np.log1p(np.exp(cumulative))).sum(-1)
    np.testing.assert_allclose(loss_of(head, labels, score), expected, rtol=1e-3, atol=1e-4)
    layer = head.output_layer("t")
    probabilities = ops.convert_to_numpy(layer(score))
    edges = np.concatenate([np.ones((3, 1)), sigmoid(cumulative), np.zeros((3, 1))], axis=1)
    np.testing.assert_allclose(probabilities, edges[:, :-1] - edges[:, 1:], atol=1e-4)


def test_ordinal_thresholds_stay_in_order_whatever_the_weights():
    layer = Ordinal(6).output_layer("t")
    layer.build((None, 1))
    rng = np.random.default_rng(0)
    for _ in range(20):
        layer.steps.assign(rng.normal(scale=10, size=4))
        probabilities = ops.convert_to_numpy(layer(rng.normal(scale=20, size=(50, 1)).astype("float32")))
        assert (np.diff(ops.convert_to_numpy(layer.thresholds())) >= 0).all()
        assert probabilities.min() >= 0
        np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=1e-5)


def test_loss_from_given_outputs_equals_loss_from_scores():
    """Outputs of another time carry no scores; inverting the activation gives the same loss."""
    scores = np.array([[0.5, -1.0, 2.0], [3.0, -2.0, 0.0]], "float32")
    for head, labels in [
        (Classification(3), np.array([0, 2])),
        (MultiLabel(3), np.array([[0, 1, 1], [1, 0, 0]], "float32")),
    ]:
        layer = head.output_layer("t")
        labels = ops.convert_to_tensor(labels)
        direct = head.loss(labels, ops.convert_to_tensor(scores), layer)
        again = head.loss(labels, layer.scores_for(layer(scores)), layer)
        np.testing.assert_allclose(ops.convert_to_numpy(direct), ops.convert_to_numpy(again), rtol=1e-4)


def confident(head):
    """Returns a model whose one score is its input, and a row of 30."""
    trunk = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model = mtlkeras.build_model((1,), trunk, {"t": head})
    model.get_layer("t_logits").set_weights([np.ones((1, 1)), np.zeros(1)])
    model.compile("sgd")
    return model, np.full((1, 1), 30.0, "float32")


def test_gradient_does_not_vanish_for_a_confident_mistake():
    """From a probability the loss is at most 16, and its gradient zero once the score passes that."""
    model, x = confident(MultiLabel(1))
    labels = {"t": np.zeros((1, 1), "float32")}
    loss = float(model.compute_loss(y=labels, y_pred=model.outputs_for_loss(x)))
    assert loss == pytest.approx(30.0, rel=1e-6)
    assert model.evaluate(x, labels, verbose=0)[0] == pytest.approx(30.0, rel=1e-6)
    assert model.train_on_batch(x, labels, return_dict=True)["loss"] == pytest.approx(30.0, rel=1e-6)
    assert float(model.get_layer("t_logits").bias[0]) == pytest.approx(-0.01, rel=1e-4)


def test_an_output_that_is_replaced_has_no_scores():
    model, x = confident(MultiLabel(1))
    labels, half = {"t": np.zeros((1, 1), "float32")}, ops.convert_to_tensor([[0.5]])
    one, two = model.outputs_for_loss(x), model.outputs_for_loss(x)
    one["t"] = half
    two.update(t=half)
    mapped = keras.tree.map_structure(lambda output: 0.0 * output + 0.5, model.outputs_for_loss(x))
    assert type(mapped) is dict
    for given in (one, two, mapped):
        assert float(model.compute_loss(y=labels, y_pred=given)) == pytest.approx(np.log(2.0), rel=1e-5)


def test_a_head_need_not_tell_scores_from_outputs():
    @mtlkeras.specs.spec
    class Cube(Regression):
        """A regression whose output is the cube of its score."""

        def activate(self, scores):
            return scores**3

        def output_layer(self, task):
            return TaskOutput(self, name=task)

        def loss(self, targets, scores, layer):
            return (scores - targets) ** 2

    model, x = confident(Cube())
    labels = {"t": np.zeros(1, "float32")}
    assert model.evaluate(x, labels, verbose=0)[0] == pytest.approx(900.0, rel=1e-6)
    assert model.train_on_batch(x, labels, return_dict=True)["loss"] == pytest.approx(900.0, rel=1e-6)
    with pytest.raises(ValueError, match="Cube cannot tell its scores from its outputs alone"):
        model.compute_loss(y=labels, y_pred=model(x))


def test_a_head_with_gaps_is_refused_where_it_is_defined():
    with pytest.raises(TypeError, match="Gappy does not define activate, label_form, loss, which every Head"):

        @mtlkeras.specs.spec
        class Gappy(Head):
            """A head without what makes it one."""

            @property
            def units(self):
                return 1


def test_a_head_that_would_be_passed_over_is_refused_where_it_is_defined():
    with pytest.raises(TypeError, match="Own: define scores and output in place of attach"):

        class Own(Regression):
            """A head that builds itself in one go."""

            def attach(self, features, task):
                return self.output_layer(task)(features.vector)


def test_probabilities_are_what_predict_gives():
    layer = Classification(3).output_layer("t")
    np.testing.assert_allclose(ops.convert_to_numpy(layer(SCORES)), softmax(SCORES), rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize(
    "head, shape, expected",
    [
        (Classification(3), (2, 4), r"rows of shape \(batch, 3\); received shape \(2, 4\)"),
        (MultiLabel(3), (2,), r"shape \(batch, 3\); received shape \(2,\)"),
        (Regression(num_targets=2), (2, 3), r"shape \(batch, 2\); received shape \(2, 3\)"),
        (Ordinal(4), (2, 4), r"received shape \(2, 4\)"),
    ],
)
def test_labels_of_the_wrong_shape_are_told(head, shape, expected):
    labels = ops.zeros(shape, "float32")
    with pytest.raises(ValueError, match=expected):
        head.targets(labels, head.labelled(labels))


@pytest.mark.parametrize(
    "head, labels, expected",
    [
        (Classification(3), np.array([0, 5]), "label 5 of example 1"),
        (Classification(3, class_names=("a", "b", "c")), np.array(["a"]), "class names are a, b, c"),
        (Ordinal(4), np.array([-2, 1]), "label -2 of example 0"),
        (Classification(3), np.array([0.5]), "label 0.5"),
        (MultiLabel(2), np.array([[0, 2]]), "label 2 of example 0"),
        (Regression(), np.array([1.0, np.inf]), "example 1 is infinite"),
    ],
)
def test_labels_outside_of_what_a_head_knows_are_told(head, labels, expected):
    with pytest.raises(ValueError, match=expected):
        label_array("task", head, labels)
