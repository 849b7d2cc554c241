"""The head that labels pixels, against NumPy; labels of rank 3 with weights, metrics and every way in."""

import contextlib

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras.balancers import CAGrad, Uncertainty
from mtlkeras.heads import Classification, Segmentation
from mtlkeras.metrics import ExactMatch
from mtlkeras.sharing import HardSharing, MMoE
from mtlkeras.trunks import GoogLeNet, ResNet
from tests.distribute.test_equality import mirrored
from tests.support import EAGERLY, TinyTrunk

pytestmark = pytest.mark.eager
COUNT, SIDE, CLASSES = 6, 8, 3


def built(head=None, sharing=None, trunk=None, side=SIDE, **compile_args):
    heads = {"pixel": head or Segmentation(CLASSES, width=8), "kind": Classification(2)}
    model = mtlkeras.build_model(
        (side, side, 1), trunk or ResNet(depth=8, width=4, normalization="layer"), heads, sharing=sharing
    )
    model.compile(compile_args.pop("optimizer", "sgd"), **{"run_eagerly": EAGERLY, **compile_args})
    return model


def data(missing=0.0, seed=0):
    """Pictures of which each pixel's class is told by its value."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, CLASSES, (COUNT, SIDE, SIDE))
    x = (pixels[..., None] - 1.0 + rng.normal(scale=0.1, size=(COUNT, SIDE, SIDE, 1))).astype("float32")
    labels = np.where(rng.random(pixels.shape) < missing, mtlkeras.MISSING, pixels)
    return x, {"pixel": labels, "kind": np.arange(COUNT) % 2}


def expected(model, x, labels, weights=None):
    """Returns by NumPy the mean cross-entropy of the labelled pixels, their accuracy and the mean IoU."""
    p = model.predict(x, verbose=0)["pixel"]
    known = labels >= 0
    weights = np.ones(labels.shape) if weights is None else np.broadcast_to(weights, labels.shape)
    known &= weights > 0
    losses = -np.log(np.take_along_axis(p, np.maximum(labels, 0)[..., None], -1)[..., 0]) * weights
    best, w = p.argmax(-1), np.where(known, weights, 0.0)
    overlaps = []
    for c in range(CLASSES):
        inside, found = labels == c, best == c
        either = (w * (inside | found)).sum()
        if either:
            overlaps.append((w * (inside & found)).sum() / either)
    accuracy = (w * (best == labels)).sum() / w.sum()
    return losses[known].mean(), accuracy, np.mean(overlaps)


def scores(model, *arguments, **more):
    logs = model.evaluate(*arguments, verbose=0, return_dict=True, **more)
    return [logs[f"pixel_{name}"] for name in ("loss", "accuracy", "mean_iou")]


@pytest.mark.parametrize("missing", [pytest.param(0.0, marks=pytest.mark.slow_on_jax), 0.4])
def test_loss_and_metrics_are_those_of_numpy(missing):
    (x, y), model = data(missing), built()
    np.testing.assert_allclose(scores(model, x, y), expected(model, x, y["pixel"]), rtol=1e-4)


@pytest.mark.parametrize("by_pixel", [True, pytest.param(False, marks=pytest.mark.slow_on_jax)])
def test_sample_weights_by_example_or_by_pixel(by_pixel):
    (x, y), model = data(0.2), built()
    shape = y["pixel"].shape if by_pixel else (COUNT,)
    weights = np.random.default_rng(1).integers(0, 3, shape).astype("float32")
    found = scores(model, x, y, sample_weight={"pixel": weights})
    wide = weights if by_pixel else weights[:, None, None]
    np.testing.assert_allclose(found, expected(model, x, y["pixel"], wide), rtol=1e-4)


class Pictures(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 2

    def __getitem__(self, index):
        part = slice(3 * index, 3 * index + 3)
        return self.x[part], {task: labels[part] for task, labels in self.y.items()}


def ways(x, y):
    """The same data through each way in."""
    yield "PyDataset", (Pictures(x, y),), {}
    yield "generator", ((Pictures(x, y)[i] for i in range(2)),), {"steps": 2}
    yield "lists", (x, {task: labels.tolist() for task, labels in y.items()}), {}
    yield "one channel", (x, {**y, "pixel": y["pixel"][..., None]}), {}
    yield "bytes", (x, {**y, "pixel": y["pixel"].astype("int8")}), {}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        yield "dataset", (tf.data.Dataset.from_tensor_slices((x, y)).batch(4),), {}


def test_every_way_in_gives_the_same():
    (x, y), model = data(0.3), built()
    wanted = scores(model, x, y)
    for name, arguments, more in ways(x, y):
        np.testing.assert_allclose(scores(model, *arguments, **more), wanted, rtol=1e-5, err_msg=name)
    logs = model.test_on_batch(x, y, return_dict=True)
    np.testing.assert_allclose(logs["pixel_loss"], wanted[0], rtol=1e-5)


@pytest.mark.slow_on_jax
def test_it_learns_beside_another_task_and_comes_back_from_disk(tmp_path):
    x, y = data()
    model = built(
        Segmentation(CLASSES, width=8), trunk=TinyTrunk(width=8), optimizer=keras.optimizers.Adam(0.1)
    )
    model.fit(x, y, batch_size=COUNT, epochs=15, verbose=0)
    assert scores(model, x, y)[1] > 0.9
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    assert again.heads == model.heads
    answers = model.predict_labels(x, verbose=0)["pixel"]
    np.testing.assert_array_equal(again.predict_labels(x, verbose=0)["pixel"], answers)
    assert answers.shape == (COUNT, SIDE, SIDE)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("balancer", [CAGrad(), CAGrad(at="parameters"), Uncertainty()], ids=repr)
def test_with_balancers_and_batches_without_pixels(balancer):
    x, y = data()
    y["pixel"][:3] = mtlkeras.MISSING
    model = built(balancer=balancer)
    logs = model.fit(x, y, batch_size=3, epochs=2, shuffle=False, verbose=0).history
    assert np.isfinite([logs["loss"], logs["pixel_loss"], logs["pixel_weight"]]).all()


@pytest.mark.slow_on_jax
def test_the_representation_is_all_that_a_task_reads():
    """Two tasks of the same loss and weights: their gradients are equal, and so is each weight."""
    x, y = data()
    heads = {"one": Segmentation(CLASSES, width=4), "two": Segmentation(CLASSES, width=4)}
    model = mtlkeras.build_model((SIDE, SIDE, 1), ResNet(depth=8, width=4, normalization="layer"), heads)
    assert len(model.get_layer("gradient_fork").keys["one"]) > 1
    for layer in model.layers:
        if layer.name.startswith("two_") and layer.weights:
            layer.set_weights(model.get_layer(layer.name.replace("two_", "one_")).get_weights())
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    changes = []
    for each, balancer in ((plain, None), (model, CAGrad())):
        each.compile(keras.optimizers.SGD(0.1), balancer=balancer, run_eagerly=EAGERLY)
        before = each.trunk.get_weights()
        each.fit(x, dict.fromkeys(heads, y["pixel"]), batch_size=COUNT, verbose=0)
        changes.append([a - b for a, b in zip(each.trunk.get_weights(), before, strict=True)])
    pairs = [(one, two) for one, two in zip(*changes, strict=True) if np.abs(one).max() > 1e-6]
    factors = [(one * two).sum() / (one * one).sum() for one, two in pairs]
    # CAGrad's weights of equal gradients are one number for both.
    np.testing.assert_allclose(factors, factors[0], rtol=1e-3)


@pytest.mark.slow_on_jax
def test_joint_metrics_and_class_weights_take_pictures_of_labels():
    (x, y), model = data(), built(joint_metrics=ExactMatch(("pixel", "kind")))
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    outputs = model.predict(x, verbose=0)
    right = (outputs["pixel"].argmax(-1) == y["pixel"]).all((1, 2))
    right &= outputs["kind"].argmax(-1) == y["kind"]
    np.testing.assert_allclose(logs["exact_match"], right.mean())
    balanced = built(Segmentation(CLASSES, width=4, class_weight="balanced"))
    balanced.fit(x, y, verbose=0)
    counts = np.bincount(y["pixel"].ravel())
    found = keras.ops.convert_to_numpy(balanced.get_layer("pixel").balanced_weights())
    np.testing.assert_allclose(found, counts.sum() / (CLASSES * counts), rtol=1e-5)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("loss", ["categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy()])
def test_losses_of_keras_see_pixels_in_a_row(loss):
    (x, y), model = data(0.3), built(loss={"pixel": loss}, metrics={"pixel": ["sparse_categorical_accuracy"]})
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    wanted = expected(model, x, y["pixel"])
    np.testing.assert_allclose(logs["pixel_loss"], wanted[0], rtol=1e-4)
    np.testing.assert_allclose(logs["pixel_sparse_categorical_accuracy"], wanted[1], rtol=1e-5)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("sharing", [HardSharing(), MMoE(experts=2)], ids=repr)
def test_any_map_trunk_and_sharing(sharing):
    x, y = data()
    for trunk in (TinyTrunk(), GoogLeNet(width=4, stem="small")):
        model = built(Segmentation(CLASSES, width=4), sharing, trunk)
        assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
        assert model.output["pixel"].shape == (None, SIDE, SIDE, CLASSES)


@pytest.mark.slow_on_jax
def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        (x, y), model = data(), built()
        assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
        assert model.predict(x, verbose=0)["pixel"].dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.tensorflow
def test_it_exports_and_pictures_of_any_size_have_a_size_given(tmp_path):
    import tensorflow as tf

    model = built(Segmentation(CLASSES, class_names=("sky", "land", "sea"), width=4))
    model.export(tmp_path / "saved", verbose=False)
    x, _ = data()
    loaded = tf.saved_model.load(tmp_path / "saved")
    answers = loaded.serve(x)
    np.testing.assert_array_equal(
        answers["pixel"].numpy().astype(str), model.predict_labels(x, verbose=0)["pixel"]
    )


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.eager(False)
def test_two_replicas_train_as_one_device():
    x, y = data(0.3)
    y["pixel"][:3] = mtlkeras.MISSING  # The first replica's part of the first batch has none.
    found = []
    for scope in (contextlib.nullcontext, mirrored().scope):
        keras.utils.set_random_seed(0)
        with scope():
            model = built(trunk=TinyTrunk(), balancer=CAGrad(at="parameters"), run_eagerly=False)
        logs = model.fit(
            x[:5], {t: v[:5] for t, v in y.items()}, batch_size=5, epochs=3, shuffle=False, verbose=0
        )
        found.append((logs.history["pixel_loss"], *model.get_weights()))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, atol=2e-6)


def test_what_does_not_fit_is_told():
    x, y = data()
    with pytest.raises(ValueError, match="Labels of task 'pixel': the labels have 49 pixels, the outputs 64"):
        built().fit(x, {**y, "pixel": y["pixel"][:, 1:, 1:]}, verbose=0)
    with pytest.raises(ValueError, match="label 3 of example 0 is outside the classes 0 to 2"):
        built().fit(x, {**y, "pixel": np.full((COUNT, SIDE, SIDE), 3)}, verbose=0)
    with pytest.raises(ValueError, match=r"expected class indices of shape \(batch, height, width\)"):
        built().fit(x, {**y, "pixel": y["kind"]}, verbose=0)
    with pytest.raises(ValueError, match=r"\(one a label\) \(batch, 8, 8\); received shape \(6, 4, 4\)"):
        built().fit(x, y, sample_weight={"pixel": np.ones((COUNT, 4, 4))}, verbose=0)
    with pytest.raises(ValueError, match="asks for a map, which MLP"):
        mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"pixel": Segmentation(3)})
    with pytest.raises(ValueError, match="give at= or taps="):
        Segmentation(3, at="stem", taps=("stem",))
    assert Segmentation.tune(HyperParameters(), num_classes=3) == Segmentation(3)
