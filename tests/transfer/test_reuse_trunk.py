"""The trunk of a trained model under other heads."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression, Tagging
from mtlkeras.sharing import MTAN, PLE, Adapters, CrossStitch, MMoE
from mtlkeras.transfer import reuse_trunk
from mtlkeras.trunks import BiLSTM
from tests.support import EAGERLY, TinyStages

pytestmark = pytest.mark.eager

X = np.random.default_rng(0).normal(size=(8, 6, 6, 1)).astype("float32")
Y = {"new": np.array([0, 1, 2, 0, -1, 1, 2, 0])}
NEW = {"new": Classification(3)}


def source(trunk=None, sharing=None, shape=(6, 6, 1), heads=None):
    heads = heads or {"a": Regression(), "b": Classification(2)}
    return mtlkeras.build_model(shape, trunk or TinyStages(), heads, sharing)


def values(model):
    return [v.copy() for v in model.get_weights()]


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_trunk_is_a_copy_that_trains_apart():
    old = source()
    before = values(old)
    model = reuse_trunk(old, NEW, name="fresh")
    assert (model.name, list(model.heads)) == ("fresh", ["new"])
    assert same(values(model.trunk), values(old.trunk))
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
    model.fit(X, Y, verbose=0)
    assert same(before, values(old))
    assert not same(values(model.trunk), values(old.trunk))


def test_of_a_file_of_the_model_or_its_trunk(tmp_path):
    old = source()
    old.save(tmp_path / "old.keras")
    old.trunk.save(tmp_path / "trunk.keras")
    for name in ("old", "trunk"):
        model = reuse_trunk(tmp_path / f"{name}.keras", NEW, at="conv")
        kernel = old.trunk.get_layer("conv").get_weights()[0]
        np.testing.assert_array_equal(model.trunk.get_layer("conv").get_weights()[0], kernel)
        assert model.heads["new"].at == "conv"


@pytest.mark.parametrize(
    "frozen, left", [(True, []), (("conv",), ["last"]), ("last", ["conv"]), (False, ["conv", "last"])]
)
def test_what_is_frozen_stays_also_when_saved(frozen, left, tmp_path):
    model = reuse_trunk(source(), NEW, freeze=frozen)
    model.save(tmp_path / "new.keras")
    again = mtlkeras.load_model(tmp_path / "new.keras")
    for one in (model, again, keras.models.clone_model(model)):
        assert [layer.name for layer in one.trunk.layers if layer.trainable_weights] == left
    np.testing.assert_array_equal(model.predict(X, verbose=0)["new"], again.predict(X, verbose=0)["new"])


@pytest.mark.parametrize(
    "scheme, own",
    [
        (MMoE(experts=2), "new_gate"),
        (PLE(), "new_"),
        (Adapters(units=2), "new_"),
        (MTAN(reduction=2), "new_"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_tasks_share_is_copied_and_what_is_theirs_begins_anew(scheme, own):
    old = source(sharing=scheme)
    model = reuse_trunk(old, NEW, freeze=True)
    trained = {layer.name for layer in model.trunk.layers if layer.trainable_weights}
    assert trained and all(name.startswith(own) for name in trained)
    frozen = [layer for layer in model.trunk.layers if layer.weights and layer.name not in trained]
    for layer in frozen:
        assert same(layer.get_weights(), old.trunk.get_layer(layer.name).get_weights())
    model.compile("sgd", run_eagerly=EAGERLY)
    model.fit(X, Y, verbose=0)


def test_text_with_masks_and_ids():
    trunk = BiLSTM(units=3, vocabulary_size=9, dropout=0.0)
    old = source(trunk, shape={"ids": keras.Input((None,), dtype="int32", name="ids")})
    heads = {"tag": Tagging(("O", "B-x", "I-x")), "new": Classification(3)}
    model = reuse_trunk(old, heads)
    assert [x.name for x in model.inputs] == ["ids"]
    assert same(values(model.trunk), values(old.trunk))


def test_layers_that_the_source_lacks_are_told():
    trunk = BiLSTM(units=3, vocabulary_size=9, pooling="attention")
    old = source(trunk, shape=keras.Input((4,), dtype="int32"), heads={"tag": Tagging(("O", "B-x", "I-x"))})
    with pytest.warns(UserWarning, match="which the new heads read: these layers begin untrained"):
        reuse_trunk(old, NEW)


def test_a_keras_model_is_copied_or_shared():
    x = keras.Input((4,))
    network = keras.Model(x, keras.layers.Dense(3, name="second")(keras.layers.Dense(5, name="first")(x)))
    old = source(network, shape=(4,))
    copied = reuse_trunk(old, NEW, at="first", freeze=True)
    assert same(copied.trunk.get_layer("first").get_weights(), network.get_layer("first").get_weights())
    assert network.trainable_weights and not copied.trunk.trainable_weights
    shared = reuse_trunk(old, NEW, share=True)
    assert shared.trunk.get_layer("first") is network.get_layer("first")
    with pytest.raises(ValueError, match="freeze= names stages, and the trunk has none"):
        reuse_trunk(old, NEW, freeze="first")


def test_what_cannot_be_used_again_is_told():
    with pytest.raises(ValueError, match="under CrossStitch tasks have trunks of their own"):
        reuse_trunk(source(sharing=CrossStitch()), NEW)
    with pytest.raises(
        ValueError, match="Unknown stage 'cnv' in freeze= of reuse_trunk. Did you mean 'conv'"
    ):
        reuse_trunk(source(), NEW, freeze=("cnv",))
    with pytest.raises(ValueError, match="Unknown task 'nwe'"):
        reuse_trunk(source(), NEW, at={"nwe": "conv"})
    with pytest.raises(FileNotFoundError, match="reuse_trunk: no model at nowhere.keras"):
        reuse_trunk("nowhere.keras", NEW)
    with pytest.raises(ValueError, match="share=True is for one trunk under HardSharing"):
        reuse_trunk(source(sharing=MMoE(experts=2)), NEW, share=True)
