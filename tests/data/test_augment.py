"""Augmentation that knows labels: `augment` with changes of pictures, mixtures and layers of Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.data import CutMix, CutOut, Flip, MixUp, Shift, augment, set_epoch
from mtlkeras.data._changes_in_turn import in_turn
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression, Segmentation, Tagging
from tests.support import tiny_model

pytestmark = pytest.mark.tensorflow
NAN = np.nan
ROWS = 12
HEADS = {
    "kind": Classification(3),
    "size": Regression(),
    "marks": MultiLabel(2),
    "grade": Ordinal(4),
    "mask": Segmentation(3),
}


def batch(side=6):
    """Pictures whose pixels all differ, with labels that tell the row; one of each missing."""
    x = np.arange(ROWS * side * side, dtype="float32").reshape(ROWS, side, side, 1)
    y = {
        "kind": np.arange(ROWS) % 3,
        "size": np.arange(ROWS, dtype="float32"),
        "marks": np.stack([np.arange(ROWS) % 2, np.arange(ROWS) % 2], 1).astype("int32"),
        "grade": np.arange(ROWS) % 4,
        "mask": (x[..., 0].astype("int32")) % 3,
    }
    y["kind"][0] = y["grade"][1] = mtlkeras.MISSING
    y["size"][2] = NAN
    y["marks"][3, 0] = mtlkeras.MISSING
    return x, y


def arrays(values):
    return {name: np.asarray(value) for name, value in values.items()}


def test_pictures_and_labels_by_pixel_are_mirrored_together():
    x, y = batch()
    found, labels = Flip(vertical=True)(x, y, seed=3)
    found, mask = np.asarray(found), np.asarray(labels["mask"])
    ways = set()
    for row in range(ROWS):
        for axes in ((), (0,), (1,), (0, 1)):
            if (np.flip(x[row], axes) == found[row]).all():
                ways.add(axes)
                np.testing.assert_array_equal(mask[row], np.flip(y["mask"][row], axes))
    assert len(ways) == 4 and labels["kind"] is y["kind"]


def test_what_comes_in_at_a_border_is_missing():
    x, y = batch()
    x = x + 1
    y["depth"] = x.copy()
    found, labels = Shift(2)(x, y, seed=1)
    found, mask, depth = np.asarray(found)[..., 0], np.asarray(labels["mask"]), np.asarray(labels["depth"])
    outside = found == 0
    assert outside.any() and (mask[outside] == -1).all() and np.isnan(depth[outside]).all()
    np.testing.assert_array_equal(mask[~outside], (found[~outside] - 1) % 3)
    np.testing.assert_array_equal(depth[~outside, 0], found[~outside])
    same = [set(found[row][~outside[row]]) <= set(x[row].ravel()) for row in range(ROWS)]
    assert all(same) and found.shape == (ROWS, 6, 6)


def test_cutout_hides_a_square():
    x, y = batch()
    found, labels = CutOut(3)(x + 1, y, seed=1)
    hidden = (np.asarray(found)[..., 0] == 0).sum(axis=(1, 2))
    assert (hidden >= 1).all() and (hidden <= 9).all() and len(set(hidden)) > 1
    assert labels is y


def shares_of(x, found, partner_rows):
    """The share of each example, from a pixel of the mixture: own * s + other * (1 - s)."""
    own, other = x[:, 0, 0, 0], x[partner_rows, 0, 0, 0]
    return np.where(own == other, 1.0, (found[:, 0, 0, 0] - other) / np.where(own == other, 1.0, own - other))


def test_mixup_gives_every_head_what_its_loss_takes():
    x, y = batch()
    del y["mask"]
    heads = {task: HEADS[task] for task in y}
    # Of a one-hot picture of its row a mixture tells both rows and their shares.
    rows = np.eye(ROWS, dtype="float32").reshape(ROWS, 3, 4, 1)
    found, labels = MixUp(heads, alpha=0.8)(rows, y, seed=5)
    weights = np.asarray(found).reshape(ROWS, ROWS)
    labels = arrays(labels)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)
    assert (np.diag(weights) < 0.999).sum() > 4
    one_hot = np.where(y["kind"][:, None] < 0, NAN, np.eye(3)[y["kind"]])
    for row in range(ROWS):
        parts = [r for r in range(ROWS) if weights[row, r] > 0]
        gone = {task: any(np.isnan(one_hot[r]).any() for r in parts) for task in ["kind"]}
        if gone["kind"]:
            assert np.isnan(labels["kind"][row]).all()
        else:
            np.testing.assert_allclose(labels["kind"][row], weights[row, parts] @ one_hot[parts], atol=1e-5)
        np.testing.assert_allclose(labels["size"][row], weights[row, parts] @ y["size"][parts], rtol=1e-4)
        expected = {-1} if -1 in y["grade"][parts] else set(y["grade"][parts])
        assert labels["grade"][row] in expected
        for entry in range(2):
            known = y["marks"][parts, entry]
            assert labels["marks"][row, entry] in ({-1} if -1 in known else set(known))


def test_labels_that_cannot_be_shares_are_drawn_by_them():
    count = 4000
    x = np.stack([np.arange(count), np.zeros(count)], 1).astype("float32").reshape(count, 1, 1, 2)
    y = {"grade": np.arange(count) % 2}
    found, labels = MixUp({"grade": Ordinal(4)}, alpha=0.5)(x.astype("float64"), y, seed=2)
    of_even = np.asarray(labels["grade"])
    mixed = MixUp({"size": Regression()}, alpha=0.5)(x, {"size": y["grade"].astype("float32")}, seed=2)[1]
    np.testing.assert_allclose(of_even.mean(), np.asarray(mixed["size"]).mean(), atol=0.02)
    correlation = np.corrcoef(of_even, np.asarray(mixed["size"]))[0, 1]
    assert correlation > 0.8


def test_cutmix_pastes_pixels_and_their_labels_and_mixes_by_area():
    x, y = batch()
    x[:] = np.arange(ROWS).reshape(-1, 1, 1, 1)
    y["mask"] = np.broadcast_to(np.arange(ROWS).reshape(-1, 1, 1) % 3, (ROWS, 6, 6)).astype("int32")
    found, labels = CutMix(HEADS)(x.astype("uint8"), y, seed=4)
    found, labels = np.asarray(found)[..., 0], arrays(labels)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(labels["mask"], found % 3)
    np.testing.assert_allclose(labels["size"], [NAN if 2 in f else f.mean() for f in found], rtol=1e-5)
    assert len({f.tobytes() for f in found}) > 1 and any(len(set(f.ravel())) == 2 for f in found)
    for row, kinds in enumerate(labels["kind"]):
        if 0 not in found[row]:
            shares = [(found[row] % 3 == kind).mean() for kind in range(3)]
            np.testing.assert_allclose(kinds, shares, atol=1e-6)


def dataset(heads=("kind",)):
    import tensorflow as tf

    x, y = batch(8)
    y = {task: y[task] for task in heads}
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)


def read(data):
    return np.concatenate([np.asarray(x) for x, _ in data])


def test_changes_in_turn_repeat_with_the_seed_and_differ_by_epoch():
    changes = [Flip(), keras.layers.RandomBrightness(0.5, value_range=(0, 768)), Shift(1), CutOut(2)]
    once, again = (augment(dataset(), changes, seed=7) for _ in range(2))
    first, second = read(once), read(once)
    assert (first != second).any() and int(once.cardinality()) == 3
    set_epoch(again, 1)
    np.testing.assert_array_equal(read(again), second)
    doubled = in_turn(keras.layers.Rescaling(2.0))(batch()[0], batch()[1], 0)[0]
    np.testing.assert_array_equal(doubled, 2 * batch()[0])


@pytest.mark.eager
def test_a_model_trains_on_mixtures():
    model = tiny_model({task: HEADS[task] for task in ("kind", "size")})
    x, y = batch()
    x, y = MixUp(model.heads)(x, {task: y[task] for task in model.heads}, seed=1)
    logs = model.train_on_batch(x, y, return_dict=True)
    assert np.isfinite(logs["loss"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MixUp({"a": Tagging(("O", "B-x", "I-x"))}), "'a' .Tagging. are tags of a sequence"),
        (lambda: MixUp({"a": Classification(2)}, alpha=0.0), "alpha must be above zero; received 0.0"),
        (lambda: Shift(0), "pixels must be a whole number of at least 1"),
        (lambda: CutOut(0), "size must be a whole number of at least 1"),
        (lambda: augment(dataset(), Flip), "augment: expected a function .* received <class"),
        (lambda: augment(dataset(), [3]), "augment: expected a function .* received 3"),
        (
            lambda: MixUp({"kid": HEADS["kind"]})(*batch(), 0),
            "Unknown task 'kind'.*Did you mean 'kid'",
        ),
        (
            lambda: in_turn(keras.layers.RandomRotation(0.1))(*batch(), 0),
            "RandomRotation may move the pix",
        ),
        (lambda: augment(dataset(), keras.layers.Dropout(0.5)), "draws numbers that no seed repeats"),
        (lambda: Flip()(np.zeros((2, 3)), {}, 0), "needs an input of shape"),
        (lambda: MixUp(HEADS)(np.zeros((2, 3), "int32"), {}, 0), "type int32 cannot be mixed"),
        (lambda: CutMix(HEADS)(np.zeros((2, 3), "float32"), {}, 0), "every input must be of pictures"),
    ],
)
def test_what_does_not_fit_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
