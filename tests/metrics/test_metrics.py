"""Our metrics by themselves: continuous predictions, sizes that need care, an empty batch, bad fields."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from mtlkeras import metrics as ours

sk = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("centre", [0.0, -8.0, 12.0])
def test_ranks_of_continuous_predictions_are_close_whatever_their_size(centre):
    """200 evenly spaced thresholds give 0.5 and less where probabilities are about exp(-8)."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 3000)
    scores = rng.normal(centre, 1.5, 3000) + labels
    chances = (1 / (1 + np.exp(-scores))).astype("float32")
    for measure, reference in (("auc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)):
        metric = ours.RankScore(1, measure)
        for half in np.split(np.arange(3000), 2):
            metric.update_state(labels[half, None], chances[half, None])
        np.testing.assert_allclose(float(metric.result()), reference(labels, chances), atol=1e-3)


def test_one_label_of_many_classes_does_not_matter_to_the_area_of_others():
    metric = ours.RankScore(3, "auc")
    metric.update_state([0, 1], [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert float(metric.result()) == 1.0  # The third class has no label, and so no area.


@pytest.mark.parametrize("mean, scale", [(2000.0, 5.0), (1e6, 30.0), (0.0, 1e-6), (-3e4, 2.0)])
def test_r2_of_labels_far_from_zero(mean, scale):
    """Sums of squares in float32 would lose these variances."""
    rng = np.random.default_rng(0)
    labels = rng.normal(mean, scale, (4000, 2)).astype("float32")
    found = (labels + rng.normal(0, scale / 2, labels.shape)).astype("float32")
    metric = ours.R2(2)
    for part in np.split(np.arange(4000), 8):
        metric.update_state(labels[part], found[part])
    reference = sk.r2_score(labels.astype("float64"), found.astype("float64"))
    np.testing.assert_allclose(float(metric.result()), reference, rtol=1e-4)


def test_r2_of_constant_labels_is_whether_they_are_met():
    for value in (0.1, 1e6 / 3, -7.3):
        labels = np.full((30, 1), value, "float32")
        metric = ours.R2()
        for part in (slice(0, 15), slice(15, 30)):
            metric.update_state(labels[part], labels[part])
        assert float(metric.result()) == 1.0
        metric.update_state(labels[:15], labels[:15] * 1.5)
        assert float(metric.result()) == 0.0


def test_matthews_of_rare_classes_and_many_examples():
    rng = np.random.default_rng(0)
    labels = (rng.random(200_000) < 1e-3).astype(int)
    predicted = np.where(rng.random(200_000) < 0.999, labels, 1 - labels)
    metric = ours.ClassScore(2, "matthews")
    for part in np.split(np.arange(200_000), 2):
        metric.update_state(labels[part], np.eye(2, dtype="float32")[predicted[part]])
    np.testing.assert_allclose(float(metric.result()), sk.matthews_corrcoef(labels, predicted), rtol=1e-5)


def test_fractional_weights_of_one_class_give_no_correlation():
    rng = np.random.default_rng(0)
    metric = ours.ClassScore(3, "matthews")
    for _ in range(20):
        outputs = np.tile([0.2, 0.5, 0.3], (50, 1)).astype("float32")
        metric.update_state(rng.integers(0, 3, 50), outputs, rng.random(50).astype("float32"))
    assert float(metric.result()) == 0.0


EMPTY = {
    "classes": (ours.ClassScore(3), np.zeros(0, "int32"), np.zeros((0, 3), "float32")),
    "ranking": (ours.RankScore(3), np.zeros(0, "int32"), np.zeros((0, 3), "float32")),
    "match": (ours.LabelMatch(), np.zeros((0, 3), "int32"), np.zeros((0, 3), "float32")),
    "numbers": (ours.R2(3), np.zeros((0, 3), "float32"), np.zeros((0, 3), "float32")),
}


@pytest.mark.parametrize("case", EMPTY)
def test_a_batch_without_rows_changes_nothing(case):
    metric, y, p = EMPTY[case]
    metric.update_state(y, p)
    assert float(metric.result()) == 0.0
    assert not any(np.asarray(v).any() for v in metric.variables)


def test_metrics_of_their_own_name_travel_and_know_their_direction():
    for metric in (ours.BinaryAUC(bins=64), ours.MacroF1(3), ours.OrdinalAccuracy(), ours.OrdinalError()):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
        assert again.get_config() == metric.get_config()
        assert again._direction == ("down" if metric.name == "mae" else "up")


def test_two_class_metrics_are_class_one_s():
    rng = np.random.default_rng(0)
    labels, chances = rng.integers(0, 2, 40), (rng.permutation(40) / 40).astype("float32")
    outputs = np.stack([1 - chances, chances], 1)
    area, f1 = ours.BinaryAUC(), ours.MacroF1(2)
    for metric in (area, f1):
        metric.update_state(labels, outputs)
    np.testing.assert_allclose(float(area.result()), sk.roc_auc_score(labels, chances), rtol=1e-6)
    wanted = sk.f1_score(labels, outputs.argmax(-1), average="macro")
    np.testing.assert_allclose(float(f1.result()), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ours.ClassScore(3, "recal"), "Did you mean 'recall'"),
        (lambda: ours.ClassScore(3, "recall", positive=3), "one of 3 classes"),
        (lambda: ours.ClassScore(3, "matthews", positive=1), "for f1, precision, recall"),
        (lambda: ours.LabelScore(3, "auc"), "Unknown measure 'auc' in measure= of LabelScore"),
        (lambda: ours.RankScore(3, "acu"), "Did you mean 'auc'"),
        (lambda: ours.RankScore(3, positive=-1), "one of 3 classes; received -1"),
    ],
)
def test_what_does_not_fit_is_told(make, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        make()


@pytest.mark.tensorflow
def test_two_replicas_give_what_one_device_gives():
    """Each with its own rows, R² among them, whose moments do not add up by themselves."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    labels, chances = rng.integers(0, 3, (4, 8)), rng.dirichlet(np.ones(3), (4, 8)).astype("float32")
    years = rng.normal(2000, 5, (4, 8, 2)).astype("float32")
    years[0, :, 1] = np.nan  # The first replica sees no label of the second target at first.
    found = years + rng.normal(0, 3, years.shape).astype("float32")
    known = (~np.isnan(years)).astype("float32")

    def metrics():
        of_classes = [ours.ClassScore(3), ours.RankScore(3), ours.LogLoss(), ours.QuadraticKappa(3)]
        return of_classes, ours.R2(2)

    def update(kept, rows):
        of_classes, r2 = kept
        for metric in of_classes:
            metric.update_state(rows[0], rows[1])
        r2.update_state(tf.where(rows[4] > 0, rows[2], 0.0), rows[3], sample_weight=rows[4])

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        spread = metrics()
    single = metrics()
    data = labels, chances, years, np.nan_to_num(found), known
    run = tf.function(lambda rows: strategy.run(update, args=(spread, rows)))
    for step in (0, 2):
        run(
            tuple(
                strategy.experimental_distribute_values_from_function(
                    lambda context, a=a, step=step: tf.constant(a[step + context.replica_id_in_sync_group])
                )
                for a in data
            )
        )
        update(single, tuple(tf.concat([a[step], a[step + 1]], 0) for a in data))
    for metric, wanted in zip([*spread[0], spread[1]], [*single[0], single[1]], strict=True):
        np.testing.assert_allclose(
            float(metric.result()), float(wanted.result()), rtol=1e-5, err_msg=metric.name
        )
