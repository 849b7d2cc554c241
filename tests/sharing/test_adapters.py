"""Adapters against NumPy and against hard sharing, and what is frozen."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import Adapters
from mtlkeras.transfer import copy_weights
from mtlkeras.trunks import BERT, LSTM, MLP, ResNet, Staged
from tests.support import EAGERLY, TinyStages

HEADS = {"a": Regression(), "mask": Regression()}
RNG = np.random.default_rng(0)
TRUNK = MLP(depth=2, width=6)


def values(tensors):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tensors)


def all_of(layer):
    return [values(v) for v in layer.weights]


def adapted(x, layer, kind):
    if kind == "low_rank":
        return x + x @ values(layer.down.kernel) @ values(layer.up.kernel)
    gamma, beta = layer.norm.get_weights()
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.norm.epsilon)
    down, up = (values(part.kernel) for part in (layer.down, layer.up))
    hidden = np.maximum((normed * gamma + beta) @ down + values(layer.down.bias), 0)
    return x + hidden @ up + values(layer.up.bias)


@pytest.mark.eager
@pytest.mark.parametrize("kind", ["residual", "low_rank"])
def test_vectors_are_adapted_between_stages(kind):
    model = mtlkeras.build_model((4,), TRUNK, HEADS, sharing=Adapters(units=2, kind=kind))
    for weight in model.weights:
        weight.assign(weight + 0.2)
    x = RNG.normal(size=(5, 4)).astype("float32")
    outputs = values(model.trunk(x))
    for task in HEADS:
        found = x
        for stage in ("hidden_1", "hidden_2"):
            kernel, bias = model.trunk.get_layer(stage).get_weights()
            found = np.maximum(found @ kernel + bias, 0)
            found = adapted(found, model.trunk.get_layer(f"{task}_{stage}_adapter"), kind)
        np.testing.assert_allclose(outputs[f"{task}_reads_vector"], found, rtol=2e-4, atol=1e-5)


TRUNKS = {
    "ResNet": (ResNet(depth=8, width=4), (8, 8, 1)),
    "LSTM": (LSTM(units=3, vocabulary_size=9, embedding_units=4), None),
    "BERT": (BERT(depth=1, width=4, heads=2, vocabulary_size=9, max_length=9), None),
    "MLP": (TRUNK, (4,)),
}


@pytest.mark.eager
@pytest.mark.slow_on_jax
@pytest.mark.parametrize("name", ["ResNet", "LSTM", "MLP", pytest.param("BERT", marks=pytest.mark.slow)])
def test_the_model_begins_as_hard_sharing_with_the_same_weights(name):
    trunk, shape = TRUNKS[name]
    x = np.array([[3, 4, 5], [6, 0, 0]], "int32") if shape is None else RNG.normal(size=(2, *shape))

    def build(sharing=None):
        inputs = keras.Input((None,), dtype="int32") if shape is None else shape
        return mtlkeras.build_model(inputs, trunk, HEADS, sharing=sharing)

    hard, model = build(), build(Adapters(units=2))
    copied = copy_weights(hard, model)
    assert copied == [layer.name for layer in hard.trunk.layers if layer.weights]
    expected = values(hard.trunk(x))
    for task in HEADS:
        np.testing.assert_array_equal(values(model.trunk(x))[f"{task}_reads_vector"], expected)
    assert copy_weights(model, build(Adapters(units=2)))
    assert copy_weights(model, build()) == copied  # And back.


@pytest.mark.eager
@pytest.mark.slow_on_jax
def test_a_frozen_trunk_stays_bitwise_the_same_also_from_disk(tmp_path):
    trunk = MLP(depth=2, width=5, normalization="batch")
    model = mtlkeras.build_model((4,), trunk, HEADS, sharing=Adapters(units=2, frozen=True))
    x, y = RNG.normal(size=(8, 4)).astype("float32"), {task: np.ones(8) for task in HEADS}
    model.compile("sgd", run_eagerly=EAGERLY)
    model.save(tmp_path / "model.keras")
    clone = keras.models.clone_model(model)
    clone.compile("sgd", run_eagerly=EAGERLY)
    for found in (model, mtlkeras.load_model(tmp_path / "model.keras"), clone):
        shared = [layer for layer in found.trunk.layers if not layer.name.endswith("adapter")]
        own = [layer for layer in found.trunk.layers if layer.name.endswith("adapter")]
        before, adapters = [all_of(layer) for layer in shared], [all_of(layer) for layer in own]
        assert sum(map(len, before)) == 12
        found.fit(x, y, epochs=2, verbose=0)
        for old, layer in zip(before, shared, strict=True):
            for a, b in zip(old, all_of(layer), strict=True):
                np.testing.assert_array_equal(a, b)
        assert all(
            any((a != b).any() for a, b in zip(old, all_of(layer), strict=True))
            for old, layer in zip(adapters, own, strict=True)
        )


@pytest.mark.eager
def test_a_loss_trains_the_adapters_of_its_task_alone():
    model = mtlkeras.build_model((6, 6, 1), TinyStages(), HEADS, sharing=Adapters(units=2))
    model.compile("sgd", run_eagerly=EAGERLY)
    before = {layer.name: all_of(layer) for layer in model.trunk.layers}
    model.train_on_batch(RNG.normal(size=(4, 6, 6, 1)), {"a": np.ones(4)})
    changed = {
        layer.name
        for layer in model.trunk.layers
        if any((a != b).any() for a, b in zip(before[layer.name], all_of(layer), strict=True))
    }
    assert changed == {"conv", "last", "a_conv_adapter", "a_last_adapter"}


@pytest.mark.eager
def test_a_task_joins_a_trained_trunk():
    old = mtlkeras.build_model((4,), TRUNK, HEADS)
    x = RNG.normal(size=(6, 4)).astype("float32")
    expected = old.predict(x, verbose=0)
    model = mtlkeras.build_model(
        (4,),
        Staged(old.trunk, cuts=("hidden_1_relu", "hidden_2_relu")),
        {"new": Classification(3)},
        sharing=Adapters(units=2, frozen=True),
    )
    model.compile("sgd", run_eagerly=EAGERLY)
    adapter = model.trunk.get_layer("new_hidden_2_relu_adapter")
    before = values(adapter.up.kernel)
    model.fit(x, {"new": np.arange(6) % 3}, verbose=0)
    assert (values(adapter.up.kernel) != before).any()
    for task, outputs in old.predict(x, verbose=0).items():
        np.testing.assert_array_equal(outputs, expected[task])
    assert not old.trunk.get_layer("hidden_1").trainable


def test_stages_before_the_first_adapter_run_once():
    model = mtlkeras.build_model((4,), MLP(depth=3, width=4), HEADS, sharing=Adapters(stages=("hidden_2",)))
    calls = {name: len(model.trunk.get_layer(name)._inbound_nodes) for name in ("hidden_1", "hidden_3")}
    assert calls == {"hidden_1": 1, "hidden_3": 2}
    adapters = [layer.name for layer in model.trunk.layers if layer.name.endswith("adapter")]
    assert adapters == ["a_hidden_2_adapter", "mask_hidden_2_adapter"]


def test_a_task_at_a_tap_has_nothing_behind_it():
    heads = {"a": Regression(), "b": Regression(at="hidden_1")}
    model = mtlkeras.build_model((4,), TRUNK, heads, sharing=Adapters(units=2))
    adapters = [layer.name for layer in model.trunk.layers if layer.name.endswith("adapter")]
    assert sorted(adapters) == ["a_hidden_1_adapter", "a_hidden_2_adapter", "b_hidden_1_adapter"]


def test_fields_that_do_not_fit_are_told():
    for fields, message in [
        ({"units": 0}, "units must be a whole number of at least 1; received 0"),
        ({"kind": "lowrank"}, "kind must be one of .*'low_rank'"),
        ({"stages": ()}, "stages must name at least one stage"),
    ]:
        with pytest.raises(ValueError, match=f"Adapters: {message}"):
            Adapters(**fields)
    with pytest.raises(
        ValueError, match=r"Unknown stage 'hiden_1' in stages= of Adapters on MLP.*'hidden_1'"
    ):
        mtlkeras.build_model((4,), TRUNK, HEADS, sharing=Adapters(stages=["hiden_1"]))
