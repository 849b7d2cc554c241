"""Metrics of pixels against scikit-learn, and of boundaries against distances by SciPy."""

import keras
import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import f1_score, jaccard_score

from mtlkeras.heads import Segmentation
from mtlkeras.metrics import BoundaryF1, MaskOverlap, MeanIoU, Overlap

CLASSES = 4


def pictures(count=5, size=(9, 11), masks=0, seed=0):
    """Labels and predictions in blobs, with gaps; class 3 is nowhere."""
    rng = np.random.default_rng(seed)
    shape = (count, *size, masks) if masks else (count, *size)

    def blobs():
        noise = ndimage.uniform_filter(rng.normal(size=shape), (1, 3, 3, 1)[: len(shape)])
        return np.digitize(noise, [-0.1, 0.15]) if not masks else (noise > 0).astype(int)

    known = rng.random(shape) > 0.1
    return blobs(), blobs(), known


def fed(metric, y, p, known, step=2):
    for i in range(0, len(y), step):
        part = slice(i, i + step)
        metric.update_state(
            np.where(known, y, -1)[part], p[part], sample_weight=known[part].astype("float32")
        )
    return float(metric.result())


@pytest.mark.parametrize(("measure", "reference"), [("iou", jaccard_score), ("dice", f1_score)])
def test_overlap_of_classes_is_that_of_scikit_learn(measure, reference):
    y, p, known = pictures()
    wanted = reference(y[known], p[known], labels=range(CLASSES), average=None, zero_division=0)
    for c in range(CLASSES):
        np.testing.assert_allclose(fed(Overlap(CLASSES, measure, of=c), y, p, known), wanted[c], rtol=1e-6)
    found = fed(Overlap(CLASSES, measure), y, p, known)
    np.testing.assert_allclose(found, wanted[:3].mean(), rtol=1e-6)
    if measure == "iou":
        assert fed(MeanIoU(CLASSES), y, p, known, step=3) == pytest.approx(found)


@pytest.mark.parametrize(("measure", "reference"), [("iou", jaccard_score), ("dice", f1_score)])
def test_overlap_of_masks_is_that_of_scikit_learn(measure, reference):
    y, p, known = pictures(masks=3)
    wanted = [reference(y[..., m][known[..., m]], p[..., m][known[..., m]]) for m in range(3)]
    np.testing.assert_allclose(fed(MaskOverlap(3, measure), y, p, known), np.mean(wanted), rtol=1e-6)
    np.testing.assert_allclose(fed(MaskOverlap(3, measure, of=1), y, p, known), wanted[1], rtol=1e-6)


def edges(plane, known):
    """By a loop: known pixels of a class with a known neighbour at a side that is of another."""
    found = np.zeros_like(plane, bool)
    for i, j in np.argwhere(plane & known):
        for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= a < plane.shape[0] and 0 <= b < plane.shape[1] and known[a, b] and not plane[a, b]:
                found[i, j] = True
    return found


def boundary_f1(y, p, known, classes, tolerance):
    """`y`, `p` and `known` as planes `(batch, height, width, classes)`."""
    scores = []
    for c in range(classes):
        counts = np.zeros(4)
        for i in range(len(y)):
            there, found = (edges(x[i, ..., c], known[i, ..., c]) for x in (y, p))
            for k, (of, near) in enumerate(((found, there), (there, found))):
                far = ndimage.distance_transform_edt(~near) if near.any() else np.full(near.shape, np.inf)
                counts[2 * k : 2 * k + 2] += of.sum(), (of & (far <= tolerance)).sum()
        if counts[0] + counts[2]:
            precision, recall = counts[1] / max(counts[0], 1), counts[3] / max(counts[2], 1)
            scores.append(2 * precision * recall / max(precision + recall, 1e-9))
    return np.mean(scores)


@pytest.mark.parametrize("tolerance", [0, 1, pytest.param(1.5, marks=pytest.mark.slow_on_jax), 2])
def test_boundaries_are_those_of_distances(tolerance):
    y, p, known = pictures()
    planes = [np.eye(CLASSES, dtype=bool)[x] for x in (y, p)]
    wide = np.repeat(known[..., None], CLASSES, -1)
    wanted = boundary_f1(*planes, wide, CLASSES, tolerance)
    np.testing.assert_allclose(fed(BoundaryF1(CLASSES, tolerance), y, p, known), wanted, rtol=1e-6)


def test_boundaries_of_masks():
    y, p, known = pictures(masks=2)
    wanted = boundary_f1(y > 0, p > 0, known, 2, 2)
    np.testing.assert_allclose(fed(BoundaryF1(2), y, p, known), wanted, rtol=1e-6)


def test_metrics_come_back_from_their_config_and_say_what_does_not_fit():
    for metric in (Overlap(3, "dice", of=1), MaskOverlap(2), BoundaryF1(2, 1.5), MeanIoU(3)):
        assert type(metric).from_config(metric.get_config()).get_config() == metric.get_config()
    with pytest.raises(
        ValueError, match="Unknown measure 'dise' in measure= of Overlap. Did you mean 'dice'"
    ):
        Overlap(2, "dise")
    with pytest.raises(ValueError, match="one of 2 classes; received 2"):
        Overlap(2, of=2)
    with pytest.raises(ValueError, match="tolerance must be at least 0"):
        BoundaryF1(2, -1)


def test_a_head_names_the_metrics_of_its_classes():
    head = Segmentation(3, class_names=("dice_a", "mean", "b_c"))
    assert head.metric("iou_dice_a").of == 0 and head.metric("dice_b_c").measure == "dice"
    assert head.metric("mean_dice").of is None and head.metric("iou_mean").of == 1
    assert isinstance(Segmentation(1, exclusive=False).metric("iou_0"), MaskOverlap)
    assert keras.metrics.Metric in type(head.metric("boundary_f1")).__mro__
