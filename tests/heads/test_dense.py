"""Heads of pixels: losses against closed forms, every decoder on every image trunk, masks, numbers, gaps."""

import contextlib

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import CAGrad, Uncertainty
from mtlkeras.heads import Classification, DenseRegression, Regression, Segmentation
from mtlkeras.trunks import VGG, AlexNet, GoogLeNet, Pretrained, ResNet
from tests.distribute.test_equality import mirrored
from tests.support import EAGERLY, TinyStages, sigmoid, softmax

pytestmark = pytest.mark.eager
DECODERS = ("fpn", "unet", "linear")
TRUNKS = {
    "tiny": TinyStages(),
    "resnet": ResNet(depth=8, width=4, normalization="layer"),
    "imagenet": ResNet(depth=18, width=4, normalization="layer", stem="imagenet"),
    "vgg": VGG(depth=11, width=4, fc_units=8),
    "alexnet": AlexNet(width=4, fc_units=8, stem="small"),
    "googlenet": GoogLeNet(width=4, normalization="layer", stem="small"),
    "pretrained": Pretrained("MobileNetV2", weights=None, options={"alpha": 0.35}),
}


def built(trunk, size, decoder="fpn", channels=1, **compile_args):
    heads = {
        "kind": Classification(2),
        "mask": Segmentation(3, width=4, decoder=decoder, loss_kind=("crossentropy", "dice")),
        "marks": Segmentation(2, exclusive=False, width=4, decoder=decoder, loss_kind=("focal", "dice")),
        "depth": DenseRegression(num_targets=2, width=4, decoder=decoder, metrics=("mae", "rmse", "r2")),
        "count": Regression(),
    }
    model = mtlkeras.build_model(
        keras.Input((*size, channels), name="image"), trunk, heads, sharing=compile_args.pop("sharing", None)
    )
    model.compile(**{"optimizer": "adam", "run_eagerly": EAGERLY, **compile_args})
    return model


def data(size, count=3, channels=1, missing=0.3, seed=0):
    rng = np.random.default_rng(seed)
    labels = {
        "kind": rng.integers(0, 2, count),
        "mask": rng.integers(0, 3, (count, *size)),
        "marks": rng.integers(0, 2, (count, *size, 2)),
        "depth": rng.normal(2.0, 3.0, (count, *size, 2)).astype("float32"),
        "count": rng.normal(size=count).astype("float32"),
    }
    for y in labels.values():
        y[rng.random(y.shape) < missing] = np.nan if y.dtype.kind == "f" else mtlkeras.MISSING
    return rng.normal(size=(count, *size, channels)).astype("float32"), labels


def dice(labels, p, known):
    """The mean over the classes of 1 - (2 sum g p + 1) / (sum g + sum p + 1), for one picture."""
    p, g = p * known, labels * known
    by_class = [
        1 - (2 * (g[..., c] * p[..., c]).sum() + 1) / (g[..., c].sum() + p[..., c].sum() + 1)
        for c in range(p.shape[-1])
    ]
    return np.mean(by_class)


def test_losses_of_classes_are_the_closed_forms():
    rng = np.random.default_rng(0)
    scores = rng.normal(scale=3.0, size=(2, 12, 3)).astype("float32")
    y = rng.integers(-1, 3, (2, 12))
    p, known = softmax(scores.astype("float64")), (y >= 0)[..., None]
    g = np.eye(3)[np.maximum(y, 0)]
    own = (p * g).sum(-1)
    by_kind = {
        "crossentropy": -np.log(own),
        "focal": -((1 - own) ** 1.5) * np.log(own),
        "dice": np.array([dice(g[i], p[i], known[i]) for i in range(2)])[:, None] * np.ones((2, 12)),
    }
    for kinds in (("crossentropy",), ("focal",), ("dice",), ("crossentropy", "dice"), ("focal", "dice")):
        head = Segmentation(3, loss_kind=kinds, focal_gamma=1.5)
        found = np.asarray(head.loss(keras.ops.convert_to_tensor(y), scores, None))
        wanted = sum(by_kind[kind] for kind in kinds)
        np.testing.assert_allclose(found[y >= 0], wanted[y >= 0], rtol=1e-5, err_msg=str(kinds))


def test_losses_of_masks_are_the_closed_forms():
    rng = np.random.default_rng(1)
    scores = rng.normal(scale=3.0, size=(2, 6, 2)).astype("float32")
    y = rng.integers(-1, 2, (2, 6, 2)).astype("float32")
    p, known, g = sigmoid(scores.astype("float64")), y >= 0, np.maximum(y, 0)
    own = np.where(g == 1, p, 1 - p)
    weight = np.where(g == 1, np.array([3.0, 1.0]), 1.0)
    whole = np.array([dice(g[i], p[i], known[i]) for i in range(2)])[:, None, None]
    by_kind = {"crossentropy": -np.log(own), "focal": -((1 - own) ** 2) * np.log(own)}
    for kind, wanted in by_kind.items():
        head = Segmentation(
            2, exclusive=False, class_names=("a", "b"), loss_kind=(kind, "dice"), class_weight={"a": 3.0}
        )
        found = np.asarray(head.loss(keras.ops.reshape(y, (2, 12)), scores.reshape(2, 12), None))
        wanted = (weight * wanted + whole).reshape(2, 12)
        known_entries = known.reshape(2, 12)
        np.testing.assert_allclose(found[known_entries], wanted[known_entries], rtol=1e-5, err_msg=kind)


@pytest.mark.slow_on_jax
def test_the_task_losses_and_metrics_are_those_of_numpy_however_batches_fall():
    size = (5, 7)
    (x, y), model = data(size, 4), built(TinyStages(), size)
    logs = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    outputs = model.predict(x, verbose=0)
    marks, p = y["marks"], outputs["marks"].astype("float64")
    known, yes = marks >= 0, marks == 1
    own = np.where(yes, p, 1 - p)
    values = -((1 - own) ** 2) * np.log(own)
    values += np.array([dice(yes[i] * 1.0, p[i], known[i]) for i in range(4)])[:, None, None, None]
    np.testing.assert_allclose(logs["marks_loss"], values[known].mean(), rtol=1e-4)
    np.testing.assert_allclose(logs["marks_accuracy"], ((p >= 0.5) == yes)[known].mean(), rtol=1e-5)
    error = outputs["depth"] - y["depth"]
    np.testing.assert_allclose(logs["depth_loss"], np.nanmean(error**2), rtol=1e-4)
    np.testing.assert_allclose(logs["depth_rmse"], np.sqrt(np.nanmean(error**2)), rtol=1e-4)
    spread = y["depth"] - np.nanmean(y["depth"], (0, 1, 2))
    r2 = 1 - np.nansum(error**2, (0, 1, 2)) / np.nansum(spread**2, (0, 1, 2))
    np.testing.assert_allclose(logs["depth_r2"], r2.mean(), rtol=1e-4)
    weights = {task: np.random.default_rng(2).integers(0, 2, y[task].shape) for task in ("marks", "depth")}
    with_gaps = {
        **y,
        "marks": np.where(weights["marks"], marks, -1),
        "depth": np.where(weights["depth"], y["depth"], np.nan),
    }
    for task in weights:  # A weight of 0 is a missing label, also to the Dice loss.
        one, two = (
            model.evaluate(x, labels, verbose=0, return_dict=True, sample_weight=w)
            for labels, w in ((y, {task: weights[task]}), (with_gaps, None))
        )
        np.testing.assert_allclose(one[f"{task}_loss"], two[f"{task}_loss"], rtol=1e-5, err_msg=task)


@pytest.mark.slow_on_jax
def test_numbers_of_pixels_take_their_scale_from_all_pixels():
    (_, y), model = data((5, 7)), built(TinyStages(), (5, 7))
    model.adapt(y)
    layer = model.get_layer("depth")
    np.testing.assert_allclose(np.asarray(layer.mean), np.nanmean(y["depth"], (0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(layer.scale), np.nanstd(y["depth"], (0, 1, 2)), rtol=1e-5)


def check(model, x, y, tmp_path):
    """Two steps, save, load, answers of the picture's size, export."""
    logs = model.fit(x, y, batch_size=2, epochs=1, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values()), logs
    outputs = model.predict(x, verbose=0)
    assert outputs["mask"].shape == (*y["mask"].shape, 3)
    assert outputs["marks"].shape == y["marks"].shape and outputs["depth"].shape == y["depth"].shape
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    assert again.heads == model.heads
    labels = model.predict_labels(x, verbose=0)
    for task, values in again.predict_labels(x, verbose=0).items():
        np.testing.assert_array_equal(values, labels[task], err_msg=task)
    assert set(np.unique(labels["marks"])) <= {0, 1} and labels["mask"].shape == y["mask"].shape
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        model.export(tmp_path / "saved", verbose=False)
        loaded = tf.saved_model.load(tmp_path / "saved")
        served = loaded.serve(x)
        for task in ("mask", "marks"):
            np.testing.assert_array_equal(served[task].numpy(), labels[task])


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (96, 128), (65, 97)], ids=str)
@pytest.mark.parametrize("trunk", [name for name in TRUNKS if name != "tiny"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_on_every_image_trunk(decoder, trunk, size, tmp_path):
    x, y = data(size, channels=3)
    check(built(TRUNKS[trunk], size, decoder, channels=3), x, y, tmp_path)


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.eager(False)
@pytest.mark.parametrize("size", [(64, 64), (96, 128), (65, 97)], ids=str)
@pytest.mark.parametrize("trunk", ["resnet", "imagenet", "vgg", "alexnet", "googlenet"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_two_replicas_train_as_one_device(decoder, trunk, size):
    """Of trunks without statistics of batches, which are a replica's own, and without dropout."""
    spec = TRUNKS[trunk]
    if "dropout" in spec.field_names():  # Without a normalisation these run away within two steps.
        spec = spec.replace(dropout=0.0, normalization="layer")
    x, y = data(size, count=4, channels=3)
    y["mask"][:2] = mtlkeras.MISSING  # The first replica's part has none.
    found = []
    for scope in (contextlib.nullcontext, mirrored().scope):
        keras.utils.set_random_seed(0)
        with scope():
            model = built(
                spec, size, decoder, channels=3, run_eagerly=False, optimizer=keras.optimizers.SGD(0.001)
            )
        logs = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history
        losses = {name: np.array(values) for name, values in logs.items() if name.endswith("loss")}
        found.append((losses, model.get_weights()))
    (losses, weights), (others, other_weights) = found
    for name, values in losses.items():
        np.testing.assert_allclose(values, others[name], rtol=1e-4, err_msg=name)
    for one, two in zip(weights, other_weights, strict=True):  # Sums over ten thousand pixels round.
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=3e-5)


@pytest.mark.slow_on_jax
def test_a_class_a_count_masks_and_numbers_on_one_trunk(tmp_path):
    x, y = data((6, 9))
    check(built(TinyStages(), (6, 9), "unet"), x, y, tmp_path)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("decoder", ["fpn", *(pytest.param(d, marks=pytest.mark.slow) for d in DECODERS[1:])])
def test_pictures_of_any_size(decoder):
    """With taps named, a model of pictures of unknown size gives what one of known size does."""
    head = Segmentation(2, width=4, taps=("conv", "last"), decoder=decoder)
    pair = [mtlkeras.build_model((*size, 1), TinyStages(), {"mask": head}) for size in ((7, 9), (None, None))]
    pair[1].set_weights(pair[0].get_weights())
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 1)).astype("float32")
    known, unknown = (model.predict(x, verbose=0)["mask"] for model in pair)
    np.testing.assert_allclose(known, unknown, atol=1e-6)
    for size in ((7, 9), (4, 6)):
        pair[1].compile("sgd", run_eagerly=EAGERLY)
        y = np.zeros((2, *size), int)
        assert np.isfinite(pair[1].evaluate(x[:, : size[0], : size[1]], {"mask": y}, verbose=0)).all()


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "balancer",
    [
        pytest.param(CAGrad(), marks=pytest.mark.slow),
        pytest.param(CAGrad(at="parameters"), marks=pytest.mark.slow),
        pytest.param(Uncertainty(), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_with_balancers_and_batches_without_labels(balancer):
    x, y = data((5, 6), 4)
    for task in ("mask", "marks", "depth"):
        y[task][:2] = np.nan if y[task].dtype.kind == "f" else mtlkeras.MISSING
    model = built(TinyStages(), (5, 6), balancer=balancer)
    logs = model.fit(x, y, batch_size=2, shuffle=False, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values()), logs


@pytest.mark.slow_on_jax
def test_generators_may_leave_masks_out():
    x, y = data((5, 6))
    model = built(TinyStages(), (5, 6))
    batches = ((x, {"kind": y["kind"], "count": y["count"]}) for _ in range(2))
    logs = model.evaluate(batches, steps=1, verbose=0, return_dict=True)
    assert logs["mask_loss"] == logs["marks_loss"] == logs["depth_loss"] == 0.0


def test_a_head_saved_without_the_newer_fields_is_as_it_was():
    head = Segmentation(3, width=8)
    config = {name: head.get_config()[name] for name in ("num_classes", "width", "taps", "size", "hidden")}
    assert Segmentation.from_config(config) == head


@pytest.mark.slow_on_jax
def test_the_layers_of_the_first_decoder_keep_their_names():
    head = Segmentation(3, width=8)
    model = mtlkeras.build_model((8, 8, 1), ResNet(depth=8, width=4), {"pixel": head})
    names = {layer.name for layer in model.layers if layer.name.startswith("pixel")}
    taps = [f"pixel_stage_{i}_{part}" for i in (1, 2) for part in ("lateral", "resize", "sum")]
    assert names == {*taps, "pixel_stage_3_lateral", "pixel_decoder", "pixel_logits", "pixel"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Segmentation(3, decoder="u-net"), "decoder"),
        (
            lambda: Segmentation(3, loss_kind="dce"),
            "Unknown loss 'dce' in loss_kind= of Segmentation. Did you",
        ),
        (lambda: Segmentation(3, loss_kind=("dice", "dice")), "each once"),
        (lambda: Segmentation(1), "num_classes"),
        (
            lambda: Segmentation(2, exclusive=False, class_weight="balanced"),
            "is for classes of which a pixel",
        ),
        (lambda: Segmentation(2, class_names=("a", "b"), metrics=("iou_c",)), "Unknown metric 'iou_c'"),
        (lambda: DenseRegression(scale=0.0), "DenseRegression: scale must be above zero"),
        (lambda: DenseRegression(loss_kind="rmse"), "Unknown loss 'rmse' in loss_kind= of DenseRegression"),
    ],
)
def test_fields_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_that_do_not_fit():
    x, y = data((5, 6))
    model = built(TinyStages(), (5, 6))
    with pytest.raises(ValueError, match=r"0/1 masks of shape \(batch, height, width, 2\).* \(3, 5, 6\)"):
        model.fit(x, {**y, "marks": y["mask"]}, verbose=0)
    with pytest.raises(ValueError, match="label 2 of example 0 is outside the classes 0 to 1"):
        model.fit(x, {**y, "marks": np.full_like(y["marks"], 2)}, verbose=0)
    with pytest.raises(ValueError, match="Labels of task 'depth': the labels have 20 pixels, the outputs 30"):
        model.fit(x, {**y, "depth": y["depth"][:, 1:, 1:]}, verbose=0)
    with pytest.raises(ValueError, match="class_weight of task 'marks': Segmentation has no classes"):
        model.fit(x, y, class_weight={"marks": "balanced"}, verbose=0)
    with pytest.raises(ValueError, match="no one picture among its inputs"):
        two = {"a": (None, None, 1), "b": (None, None, 1)}
        joined = keras.layers.Add()([keras.Input(shape, name=name) for name, shape in two.items()])
        inputs = {name: joined._keras_history.operation.input[i] for i, name in enumerate(two)}
        mtlkeras.build_model(
            inputs, keras.Model(inputs, keras.layers.Conv2D(2, 1)(joined)), {"m": Segmentation(2)}
        )
