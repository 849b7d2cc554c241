"""Each head's loss against NumPy, at any size of score, and its outputs against their meaning."""

import keras
import numpy as np
import pytest
from keras import ops

from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression
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


@pytest.mark.parametrize("kind", ["mse", "mae", "huber"])
def test_regression_on_the_standardised_scale(kind):
    head = Regression(num_targets=2, mean=(10.0, -1.0), scale=(2.0, 0.5), loss_kind=kind)
    scores = np.array([[0.5, -1.0], [3.0, 0.0]], "float32")
    labels = np.array([[12.0, -1.0], [10.0, 0.5]], "float32")
    error = scores - (labels - [10.0, -1.0]) / [2.0, 0.5]
    expected = {
        "mse": error**2,
        "mae": abs(error),
        "huber": np.where(abs(error) <= 1, error**2 / 2, abs(error) - 0.5),
    }[kind]
    np.testing.assert_allclose(loss_of(head, labels, scores), expected, rtol=1e-5)


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
        outputs = layer(scores)
        labels = ops.convert_to_tensor(labels)
        direct = head.loss(labels, layer.scores_for(outputs), layer)
        again = head.loss(labels, layer.scores_for(ops.convert_to_numpy(outputs)), layer)
        np.testing.assert_allclose(ops.convert_to_numpy(direct), ops.convert_to_numpy(again), rtol=1e-4)


def test_gradient_does_not_vanish_for_a_confident_mistake():
    """From a clipped probability the gradient is zero once the score passes 16."""
    layer = MultiLabel(1).output_layer("t")
    dense = keras.layers.Dense(1, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), dense, layer])
    head = layer.head
    outputs = model(np.array([[30.0]], "float32"))
    value = head.loss(ops.zeros((1, 1)), layer.scores_for(outputs), layer)
    np.testing.assert_allclose(ops.convert_to_numpy(value), [[30.0]], rtol=1e-6)


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
        head.check(labels)
