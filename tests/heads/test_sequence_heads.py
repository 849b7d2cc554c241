"""Tagging heads: losses against plain sums, masks, missing labels, and what a model does with them."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._backends import task_gradients
from mtlkeras.heads import Classification, CRFTagging, HMMTagging, Tagging
from mtlkeras.layers import HMM
from mtlkeras.metrics import ExactMatch
from tests.brute_force import Paths, Potentials
from tests.support import EAGERLY

TAGS = ("O", "B-a", "I-a")
HEADS = {
    "tagging": Tagging(TAGS, scheme="BIO"),
    "crf": CRFTagging(TAGS, scheme="BIO"),
    "hmm": HMMTagging(TAGS, scheme="BIO", final=True),
}


# JAX compiles each head for seconds, for the same code around it.
EACH = [pytest.param(h, id=k, marks=() if k == "crf" else pytest.mark.slow_on_jax) for k, h in HEADS.items()]


def trunk(units=6):
    ids = keras.Input((None,), dtype="int32", name="ids")
    embedded = keras.layers.Embedding(20, units, name="embedding")(ids)
    outputs = {
        "sequence": embedded,
        "vector": keras.layers.GlobalAveragePooling1D(name="mean")(embedded),
        "mask": keras.ops.greater(ids, 0),
    }
    return keras.Model(ids, outputs)


def model(heads, seed=0, run_eagerly=EAGERLY, **options):
    keras.utils.set_random_seed(seed)
    built = mtlkeras.build_model(keras.Input((None,), dtype="int32", name="ids"), trunk(), heads)
    built.compile(keras.optimizers.Adam(0.05), run_eagerly=run_eagerly, **options)
    for layer in built.output_layers.values():
        for weight in layer.trainable_weights:
            weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
    return built


def examples(rows=8, time=5, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 20, (rows, time)).astype("int32")
    mask = np.arange(time) < rng.integers(0, time + 1, rows)[:, None]
    ids[~mask] = 0
    return ids, np.where(mask, ids % 3, -1).astype("int32"), mask


def scores_of(built, ids):
    """The head's scores, from the dense layer before its output."""
    return np.asarray(keras.Model(built.input, built.get_layer("y_logits").output)(ids))


def normalised(x):
    return x - np.logaddexp.reduce(x, axis=-1, keepdims=True)


def crf_losses(scores, tags, mask, layer):
    """Negative log-likelihoods by enumeration; tags of -1 may be any."""
    chain = Potentials(*(np.asarray(w, "float64") for w in layer.crf.weights))
    rows = zip(scores.astype("float64"), tags, mask, strict=True)
    return np.array([-Paths(chain, x, there).log_likelihood(y) for x, y, there in rows])


def hmm_losses(scores, tags, mask, layer):
    """Negative joint log-likelihoods by enumeration, less the prior of the tags that are known."""
    start, transitions = (normalised(np.asarray(w, "float64")) for w in layer.hmm.weights)
    chain = Potentials(transitions[:, :-1], start, transitions[:, -1])
    prior = normalised(np.asarray(layer.prior_logits, "float64"))
    losses = []
    for x, y, there in zip(normalised(scores.astype("float64")) - prior, tags, mask, strict=True):
        paths = Paths(chain, x, there)
        known = y[there & (y >= 0)]
        losses.append(-paths.log_likelihood(y) - paths.log_partition() - prior[known].sum())
    return np.array(losses)


def test_tagging_loss_is_the_mean_over_labelled_tokens():
    built = model({"y": HEADS["tagging"]})
    ids, tags, mask = examples()
    tags[0, 0] = -1
    scores = scores_of(built, ids).astype("float64")
    logs = scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)
    picked = np.take_along_axis(logs, np.maximum(tags, 0)[:, :, None], 2)[:, :, 0]
    expected = -picked[tags >= 0].mean()
    np.testing.assert_allclose(
        built.evaluate(ids, {"y": tags}, verbose=0, return_dict=True)["loss"], expected, rtol=1e-5
    )


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("kind, enumerated", [("crf", crf_losses), ("hmm", hmm_losses)])
@pytest.mark.parametrize("loss_per", ["sequence", "token"])
def test_loss_of_a_chain_is_the_mean_over_labelled_sequences_or_tokens(kind, enumerated, loss_per):
    built = model({"y": HEADS[kind].replace(loss_per=loss_per)})
    ids, tags, mask = examples()
    tags[0, 0], tags[3] = -1, -1  # One tag that is not known; a sequence without any.
    losses = enumerated(scores_of(built, ids), tags, mask, built.get_layer("y"))
    units = (tags >= 0).any(axis=1) if loss_per == "sequence" else (tags >= 0).sum(axis=1)
    counted = units > 0
    logs = built.evaluate(ids, {"y": tags}, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["loss"], losses[counted].sum() / units.sum(), rtol=1e-4)
    weights = np.arange(8) % 3 * 0.5
    logs = built.evaluate(ids, {"y": tags}, sample_weight={"y": weights}, verbose=0, return_dict=True)
    counted &= weights > 0
    np.testing.assert_allclose(
        logs["loss"], (losses * weights)[counted].sum() / units[counted].sum(), rtol=1e-4
    )


def test_a_chain_saved_before_there_was_a_choice_keeps_its_loss():
    config = HEADS["crf"].get_config()
    del config["loss_per"]
    assert CRFTagging.from_config(config).loss_per == "sequence"


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("head", EACH)
def test_labels_and_padding_outside_of_the_sequence_change_nothing(head):
    built = model({"y": head})
    ids, tags, mask = examples()
    logs = built.evaluate(ids, {"y": tags}, verbose=0, return_dict=True)
    wrong = np.where(mask, tags, 1)
    again = built.evaluate(ids, {"y": wrong}, verbose=0, return_dict=True)
    longer = [np.pad(a, ((0, 0), (2, 1)), constant_values=v) for a, v in ((ids, 0), (tags, -1))]
    padded = built.evaluate(longer[0], {"y": longer[1]}, verbose=0, return_dict=True)
    for name, value in logs.items():
        np.testing.assert_allclose([again[name], padded[name]], value, rtol=1e-5)
    assert list(built.predict_labels(ids, verbose=0)["y"]) == list(
        built.predict_labels(longer[0], verbose=0)["y"]
    )


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("head", EACH)
def test_no_labels_give_no_loss(head):
    built = model({"y": head, "kind": Classification(2)})
    ids, tags, _ = examples()
    history = built.fit(ids, {"y": np.full_like(tags, -1), "kind": ids[:, 0] % 2}, verbose=0).history
    assert history["y_loss"] == [0.0]
    assert np.isfinite(history["loss"]).all()


# One is the length of the others' way, and on TensorFlow the graph takes ten times as long to make.
@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(k, marks=pytest.mark.slow if k != "crf" or EAGERLY else ())
        for k in ("crf", "tagging", "hmm")
    ],
)
def test_learns(kind):
    joint = [ExactMatch(("y", "kind"))]
    built = model({"y": HEADS[kind], "kind": Classification(2)}, run_eagerly=False, joint_metrics=joint)
    ids, _, mask = examples(rows=16)
    labels = {"y": np.where(mask, ids % 2, -1), "kind": ids[:, 0] % 2}
    history = built.fit(ids, labels, epochs=40, verbose=0).history
    assert history["y_accuracy"][-1] > 0.95 and history["exact_match"][-1] > 0.9


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("head", EACH)
def test_saves_loads_and_clones(head, tmp_path):
    joint = [ExactMatch(("y", "kind"))]
    built = model({"y": head, "kind": Classification(2)}, joint_metrics=joint)
    ids, tags, mask = examples(rows=16)
    labels = {"y": tags, "kind": ids[:, 0] % 2}
    built.save(tmp_path / "model.keras")
    loaded = mtlkeras.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = EAGERLY
    assert loaded.heads == built.heads
    np.testing.assert_array_equal(np.asarray(loaded(ids)["y"]), np.asarray(built(ids)["y"]))
    logs = [m.evaluate(ids, labels, verbose=0, return_dict=True) for m in (built, loaded)]
    assert logs[0] == logs[1] and "exact_match" in logs[0]
    answers = loaded.predict_labels(ids, verbose=0)["y"]
    assert [len(a) for a in answers] == mask.sum(axis=1).tolist()
    clone = keras.models.clone_model(built)
    assert clone.heads == built.heads


@pytest.mark.slow
def test_the_parts_of_an_hmm_learn_what_they_stand_for():
    built = model({"y": HMMTagging(TAGS)}, run_eagerly=False)
    ids, _, mask = examples(rows=64, time=6)
    tags = np.where(mask, np.cumsum(ids % 2, axis=1) % 3, -1).astype("int32")
    built.fit(ids, {"y": tags}, epochs=150, batch_size=64, verbose=0)
    layer = built.get_layer("y")
    shares = np.bincount(tags[mask], minlength=3) / mask.sum()
    np.testing.assert_allclose(np.exp(normalised(np.asarray(layer.prior_logits))), shares, atol=0.03)
    counted = HMM(3, "scores")
    counted.fit_supervised(np.zeros((64, 6, 3)), tags, mask)
    for name, value in counted.probabilities().items():
        np.testing.assert_allclose(layer.hmm.probabilities()[name], value, atol=0.05, err_msg=name)


def test_crf_decodes_within_its_scheme():
    built = model({"y": HEADS["crf"]}, seed=3)
    ids, _, _ = examples(rows=50, time=9)
    for tags in built.predict_labels(ids, verbose=0)["y"]:
        for before, tag in itertools.pairwise(("O", *tags)):
            assert tag != "I-a" or before != "O"


@pytest.mark.slow_on_jax
def test_mixed_precision_computes_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        built = model(HEADS)
        ids, tags, _ = examples()
        assert {o.dtype for o in built.output.values()} == {"float32"}
        assert np.isfinite(built.fit(ids, dict.fromkeys(HEADS, tags), verbose=0).history["loss"]).all()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.tensorflow
@pytest.mark.slow
def test_serves_names_with_any_length(tmp_path):
    import tensorflow as tf

    built = model({kind: HEADS[kind] for kind in ("tagging", "crf")})
    built.export(tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    for time in (3, 9):
        ids, _, mask = examples(time=time, seed=time)
        answers = served.serve(tf.constant(ids))
        for task, expected in built.predict_labels(ids, verbose=0).items():
            rows = answers[task].numpy()
            found = [
                tuple(t.decode() for t, m in zip(r, there, strict=True) if m)
                for r, there in zip(rows, mask, strict=True)
            ]
            assert found == list(expected)
            assert set(rows[~mask]) <= {b""}
        chances = answers["crf_probability"].numpy()
        assert (chances[mask] > 0).all() and (chances <= 1.0001).all() and (chances[~mask] == 0).all()


@pytest.mark.slow  # By the same way as a CRF.
@pytest.mark.tensorflow
def test_an_hmm_serves_names_with_any_length(tmp_path):
    import tensorflow as tf

    built = model({"hmm": HEADS["hmm"]})
    built.export(tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served"))
    for time in (3, 9):
        ids, _, mask = examples(time=time, seed=time)
        answers, expected = served.serve(tf.constant(ids)), built.predict_labels(ids, verbose=0)["hmm"]
        for row, there, tags in zip(answers["hmm"].numpy(), mask, expected, strict=True):
            assert tuple(tag.decode() for tag in row[there]) == tags
        chances = answers["hmm_probability"].numpy()
        assert (chances[mask] > 0).all() and (chances <= 1.0001).all() and (chances[~mask] == 0).all()


BAD = {
    "too few tags": (lambda: Tagging(("O",)), "at least 2 names"),
    "twice": (lambda: Tagging(("O", "O")), "distinct"),
    "not of the scheme": (
        lambda: CRFTagging(("O", "X-a"), scheme="BIO"),
        "tag 'X-a' is not of the scheme BIO",
    ),
    "unknown scheme": (lambda: CRFTagging(("O", "B-a"), scheme="BIOS"), "Unknown scheme 'BIOS'"),
    "entities without a scheme": (lambda: Tagging(("a", "b"), metrics=("f1",)), "needs scheme="),
    "unknown unit": (lambda: HMMTagging(TAGS, loss_per="tokens"), "Did you mean 'token'"),
    "unknown constrain": (lambda: CRFTagging(TAGS, "BIO", "decode"), "Did you mean 'decoding'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_fields_are_told(case):
    make, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_of_another_length_are_told():
    built = model({"y": HEADS["crf"]})
    ids, tags, _ = examples()
    with pytest.raises(ValueError, match="expected tag indices of shape"):
        built.fit(ids, {"y": tags[:, 0]}, verbose=0)
    with pytest.raises(ValueError, match="outside the classes 0 to 2"):
        built.fit(ids, {"y": tags + 3}, verbose=0)
    with pytest.raises(ValueError, match="TagEncoder pads them"):
        built.fit(ids, {"y": np.array([(1, 2), (1,)] * 4, object)}, verbose=0)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("kind", ["crf", pytest.param("hmm", marks=pytest.mark.slow)])
def test_gradients_of_several_tasks_from_one_pass_are_those_of_a_step(kind):
    """As balancers by the parameters take them, with labels missing in part."""
    built = model({"y": HEADS[kind], "kind": Classification(2)})
    ids, tags, mask = examples()
    tags[:, 1] = np.where(ids[:, 1] % 2, tags[:, 1], -1)
    labels = {"y": tags, "kind": ids[:, 0] % 2}
    variables = built.trunk.trainable_variables
    _, _, found = task_gradients(built, variables)(ids, labels, None)
    before = [np.array(variable) for variable in variables]
    built.compile(keras.optimizers.SGD(1.0), run_eagerly=EAGERLY)
    built.train_on_batch(ids, labels)
    for variable, old, gradients in zip(variables, before, found, strict=True):
        steps = np.asarray(keras.ops.convert_to_numpy(gradients))
        assert (np.abs(steps).max(axis=(1, 2)) > 1e-3).all()
        np.testing.assert_allclose(old - np.asarray(variable), steps.sum(0), atol=1e-5)
