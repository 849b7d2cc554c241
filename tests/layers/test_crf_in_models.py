from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
from keras import ops

from mtlkeras.layers import CRF

# What they compute is the same in graphs, where most of their time would go into tracing.
pytestmark = pytest.mark.eager

TAGS = ("O", "B-a", "I-a")


@keras.saving.register_keras_serializable("test_crf")
class Tagger(keras.Model):
    """Learns a CRF over a dense layer, on rows whose words of 0 are padding."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.embedding = keras.layers.Embedding(9, 4)
        self.dense = keras.layers.Dense(3)
        self.crf = CRF(3, **options)

    def call(self, words):
        return self.dense(self.embedding(words))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -ops.mean(self.crf.log_likelihood(y_pred, y, ops.not_equal(x, 0)))


def sentences() -> tuple[np.ndarray, np.ndarray]:
    """Words whose tag depends on the word before: an I-a comes after a B-a only."""
    rng = np.random.default_rng(0)
    words = rng.integers(1, 9, (32, 7))
    words[np.arange(7)[None, :] >= rng.integers(0, 8, 32)[:, None]] = 0
    tags = np.where(words % 4 == 1, 1, 0)
    tags[:, 1:][(tags[:, :-1] == 1) & (tags[:, 1:] == 0)] = 2
    return words, tags


@pytest.mark.eager(False)
@pytest.mark.slow
def test_learns_in_fit():
    words, tags = sentences()
    model = Tagger(constraints="BIO", tags=TAGS, constrain_training=True)
    model.compile(keras.optimizers.Adam(0.1), jit_compile=True)
    losses = model.fit(words, tags, batch_size=16, epochs=20, verbose=0, shuffle=False).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] / 5
    found, _ = model.crf.decode(model(words), words != 0)
    found = ops.convert_to_numpy(found)
    assert (found == tags)[words != 0].mean() > 0.95


def all_of_it():
    """Loss, gradient and best ways of a CRF, as one function of any batch and length, and the CRF."""
    import tensorflow as tf

    crf = CRF(3, constraints="BIO", tags=TAGS, constrain_training=True, initializer="normal")
    signature = [
        tf.TensorSpec((None, None, 3), "float32"),
        tf.TensorSpec((None, None), "int32"),
        tf.TensorSpec((None, None), "bool"),
    ]

    def found(logits, tags, mask):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            likelihood = crf.log_likelihood(logits, tags, mask)
        return likelihood, tape.gradient(likelihood, logits), *crf.decode(logits, mask)

    return functools.partial(tf.function, found, input_signature=signature, autograph=False), crf


def drawn(rng, count, time):
    """Logits, tags and a mask with gaps, as `all_of_it` takes them."""
    logits = rng.normal(size=(count, time, 3)).astype("float32")
    return logits, rng.integers(0, 3, (count, time), "int32"), rng.random((count, time)) < 0.7


@pytest.mark.eager(False)
@pytest.mark.slow
@pytest.mark.tensorflow
def test_one_graph_serves_batches_and_lengths_of_any_size():
    function, crf = all_of_it()
    rng = np.random.default_rng(0)
    plain = function()
    for rows, time in ((4, 7), (1, 1), (0, 3), (2, 0)):
        logits, tags, mask = drawn(rng, rows, time)
        found = plain(logits, tags, mask)
        assert [tuple(x.shape) for x in found] == [(rows,), logits.shape, (rows, time), (rows,)]
        if rows != 4:
            continue
        np.testing.assert_allclose(found[0], crf.log_likelihood(logits, tags, mask), atol=1e-5)
        for a, b in zip(found[2:], crf.decode(logits, mask), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.eager(False)
@pytest.mark.slow
@pytest.mark.tensorflow
def test_xla_gives_the_same():
    function, _ = all_of_it()
    given = drawn(np.random.default_rng(0), 4, 7)
    for a, b in zip(function(jit_compile=True)(*given), function()(*given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def decoding_model() -> keras.Model:
    inputs = keras.Input((None, 4))
    logits = keras.layers.Dense(3)(keras.layers.Masking()(inputs))
    crf = CRF(3, constraints="BIO", tags=TAGS, initializer="normal", regularizer="l2")
    return keras.Model(inputs, crf(logits))


def rows(count: int, time: int) -> np.ndarray:
    x = np.random.default_rng(time).normal(size=(count, time, 4)).astype("float32")
    x[0, time // 2 :] = 0.0
    return x


def test_survives_a_keras_file(tmp_path):
    model = decoding_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = rows(5, 6)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.layers[-1].get_config() == model.layers[-1].get_config()
    assert len(loaded.losses) == 3  # The regularizer's.


@pytest.mark.tensorflow
def test_survives_a_saved_model_of_any_size(tmp_path):
    import tensorflow as tf

    model = decoding_model()
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for count, time in ((2, 5), (7, 1), (1, 20)):
        x = rows(count, time)
        tags = served.serve(x).numpy()
        np.testing.assert_array_equal(tags, model.predict(x, verbose=0))
        assert tags.shape == (count, time) and tags.dtype == "int32"


def test_a_mask_reaches_the_layer_from_the_layers_before():
    model = decoding_model()
    x = rows(1, 6)
    tags = model.predict(x, verbose=0)
    alone = model.predict(x[:, :3], verbose=0)
    np.testing.assert_array_equal(tags[:, :3], alone)
    assert (tags[:, 3:] == 0).all()


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow_on_jax)]
)
def test_computes_in_float32_under_mixed_precision(policy):
    exact = CRF(3, initializer=keras.initializers.RandomNormal(seed=0))
    keras.config.set_dtype_policy(policy)
    crf = CRF(3, initializer=keras.initializers.RandomNormal(seed=0))
    logits = ops.cast(np.random.default_rng(0).normal(size=(2, 40, 3)), policy.removeprefix("mixed_"))
    assert {weight.dtype for weight in crf.weights} == {"float32"}
    for method in ("log_partition", "marginals"):
        found = getattr(crf, method)(logits)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        same = getattr(exact, method)(ops.cast(logits, "float32"))
        np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(same))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraints": "BIO"}, "needs tags"),
        ({"constraints": "BIO", "tags": ("O", "a", "b")}, "tag 'a' is not of the scheme BIO"),
        ({"constraints": "BIEOS", "tags": TAGS}, "BIOES"),
        ({"tags": ("O",)}, "must have 3 names; received 1"),
        ({"constrain_training": True}, "needs constraints"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        CRF(3, **options)


def test_bad_shapes_are_named():
    crf = CRF(3)
    with pytest.raises(ValueError, match=r"\(batch, time, 3\).*\(2, 4, 5\)"):
        crf.log_partition(np.zeros((2, 4, 5)))
    with pytest.raises(ValueError, match=r"mask of shape \(batch, time\).*\(2, 3\)"):
        crf.log_partition(np.zeros((2, 4, 3)), np.ones((2, 3), bool))
