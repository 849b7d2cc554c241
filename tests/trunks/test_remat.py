"""`remat=True`: the same losses, gradients and weights, computed a second time in the backward pass."""

import json

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import MGDA
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import MTAN, Adapters, MMoE
from mtlkeras.trunks import BERT, DPCNN, MLP, VGG, BiLSTM, ResNet, Staged
from tests.support import EAGERLY

pytestmark = pytest.mark.eager

TEXT = {"vocabulary_size": 9, "embedding_units": 4, "seed": 1}
RESNET = ResNet(depth=8, width=2, dropout=0.3)
MLP_TRUNK = MLP(depth=2, width=4, dropout=0.3, l2=0.1, normalization="batch")
TRUNKS = [
    pytest.param(RESNET, marks=pytest.mark.slow_on_jax, id="ResNet"),
    pytest.param(VGG(depth=11, width=2, fc_units=4, normalization="batch"), marks=pytest.mark.slow, id="VGG"),
    pytest.param(MLP_TRUNK, id="MLP"),
    pytest.param(BiLSTM(units=3, recurrent_dropout=0.2, **TEXT), marks=pytest.mark.slow, id="BiLSTM"),
    pytest.param(DPCNN(width=4, depth=2, **TEXT), marks=pytest.mark.slow, id="DPCNN"),
    pytest.param(BERT(depth=1, width=4, heads=2, vocabulary_size=9), marks=pytest.mark.slow, id="BERT"),
]
HEADS = {"kind": Classification(3), "size": Regression()}


def inputs_of(trunk):
    if hasattr(trunk, "vocabulary_size"):
        return keras.Input((5,), dtype="int32")
    return keras.Input((6,) if isinstance(trunk, MLP) else (8, 8, 1))


def examples_of(inputs, count=4):
    rng = np.random.default_rng(0)
    shape = (count, *inputs.shape[1:])
    x = rng.integers(0, 9, shape) if inputs.dtype == "int32" else rng.random(shape, "float32")
    return x, {"kind": rng.integers(0, 3, count), "size": rng.normal(size=count).astype("float32")}


def trained(trunk, steps=1, sharing=None, **compile_args):
    keras.utils.set_random_seed(0)
    inputs = inputs_of(trunk)
    model = mtlkeras.build_model(inputs, trunk, HEADS, sharing=sharing)
    model.compile(keras.optimizers.SGD(0.05), run_eagerly=EAGERLY, **compile_args)
    x, y = examples_of(inputs)
    losses = [float(model.train_on_batch(x, y, return_dict=True)["loss"]) for _ in range(steps)]
    return model, losses


def assert_same(trunk, **arguments):
    plain, losses = trained(trunk, **arguments)
    again, others = trained(trunk.replace(remat=True), **arguments)
    np.testing.assert_allclose(others, losses, rtol=1e-5)
    assert [w.path for w in again.weights] == [w.path for w in plain.weights]
    for old, new, variable in zip(plain.get_weights(), again.get_weights(), plain.weights, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5, err_msg=variable.path)
    return plain, again


@pytest.mark.parametrize("trunk", TRUNKS)
def test_steps_are_those_of_the_plain_trunk(trunk):
    assert_same(trunk, steps=2)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("at", ["representation", "parameters"])
def test_a_balancer_sees_the_same_gradients(at):
    assert_same(MLP_TRUNK, balancer=MGDA(at=at))


@pytest.mark.slow
def test_experts_compute_again_too():
    _, again = assert_same(MLP_TRUNK, sharing=MMoE(experts=2))
    assert len(again.trunk.get_layer("expert_2").segments.segments) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "sharing", [MTAN(), Adapters(units=2), Adapters(units=2, stages=("hidden_1",))], ids=repr
)
def test_one_trunk_with_parts_of_the_tasks_computes_again(sharing):
    # Tasks whose stages run one after the other draw their dropout in the order in which they do.
    _, again = assert_same(MLP_TRUNK.replace(dropout=0.0), sharing=sharing)
    assert len(again.trunk.segments.segments) >= 2


@pytest.mark.slow_on_jax
def test_half_precision():
    keras.config.set_dtype_policy("mixed_float16")
    assert_same(MLP_TRUNK)


@pytest.mark.tensorflow
@pytest.mark.slow
@pytest.mark.eager(False)
def test_replicas_and_graphs():
    import tensorflow as tf

    found = []
    for remat in (False, True):
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            keras.utils.set_random_seed(0)
            trunk = MLP_TRUNK.replace(remat=remat)
            inputs = inputs_of(trunk)
            model = mtlkeras.build_model(inputs, trunk, HEADS)
            model.compile(keras.optimizers.SGD(0.05), balancer=MGDA())
        model.fit(*examples_of(inputs), batch_size=4, verbose=0)
        found.append(model.get_weights())
    for old, new in zip(*found, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


@keras.saving.register_keras_serializable("tests")
class Noted(keras.layers.Layer):
    """Notes when it runs, in training or not, and adds a loss."""

    def build(self, shape):
        self.inner = keras.layers.Dropout(0.5, seed=1)

    def call(self, x):
        self.runs.append(True)
        self.add_loss(0.1 * keras.ops.mean(x**2))
        return keras.ops.tanh(self.inner(x))  # Whether it is training, the layer does not say.


def network(noted=True):
    x = keras.Input((6,), name="x")
    y = keras.layers.Dense(4, name="first")(x)
    if noted:
        layer = Noted(name="noted")
        layer.runs = []
        y = layer(y)
    y = keras.layers.BatchNormalization(momentum=0.75, name="norm")(y)
    return keras.Model(x, keras.layers.Dense(3, name="last")(y), name="network")


def test_a_stage_runs_again_with_its_dropout_and_its_losses_count_once():
    found = []
    for remat in (False, True):
        keras.utils.set_random_seed(0)
        own = network()
        layer = own.get_layer("noted")
        model = mtlkeras.build_model((6,), Staged(own, cuts=("noted",), remat=remat), HEADS)
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
        layer.runs.clear()
        x, y = examples_of(keras.Input((6,)))
        loss = model.train_on_batch(x, y)
        found.append((len(layer.runs), loss, model.get_weights()))
    (once, loss, weights), (again, other, others) = found
    if keras.backend.backend() == "tensorflow":
        assert (once, again) == (1, 2)
    np.testing.assert_allclose(other, loss, rtol=1e-6)
    for old, new in zip(weights, others, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="asks JAX for what it computes")
def test_jax_computes_a_segment_again():
    import jax

    model, _ = trained(MLP_TRUNK.replace(remat=True))
    x, _ = examples_of(model.input)
    state = [[v.value for v in part] for part in (model.trainable_variables, model.non_trainable_variables)]
    run = jax.make_jaxpr(lambda *values: model.stateless_call(*values, x, training=True)[0])
    assert str(run(*state)).count("checkpoint") + str(run(*state)).count("remat") >= 2


@pytest.mark.slow_on_jax
def test_a_segment_may_have_nothing_that_has_a_gradient():
    pixels = keras.Input((6,), dtype="uint8", name="pixels")
    scaled = keras.layers.Rescaling(1 / 255, name="scaled")(pixels)
    own = keras.Model(pixels, keras.layers.Dense(3, name="last")(scaled), name="network")
    model = mtlkeras.build_model(
        keras.Input((6,), dtype="uint8"), Staged(own, cuts=("scaled",), remat=True), HEADS
    )
    model.compile("sgd", run_eagerly=EAGERLY)
    before = own.get_weights()[0]
    x, y = examples_of(keras.Input((6,)))
    model.train_on_batch((255 * x).astype("uint8"), y)
    assert (own.get_weights()[0] != before).any()


def test_moving_statistics_change_once():
    keras.utils.set_random_seed(0)
    own = network(noted=False)
    model = mtlkeras.build_model((6,), Staged(own, cuts=("first", "norm"), remat=True), HEADS)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
    x, y = examples_of(model.input)
    kernel, bias = own.get_layer("first").get_weights()
    model.train_on_batch(x, y)
    mean = (x @ kernel + bias).mean(axis=0)
    np.testing.assert_allclose(own.get_layer("norm").moving_mean, 0.25 * mean, rtol=1e-4, atol=1e-6)


@pytest.mark.slow_on_jax
def test_masks_of_keras_pass_from_segment_to_segment():
    def text():
        ids = keras.Input((4,), dtype="int32", name="ids")
        x = keras.layers.Embedding(9, 4, mask_zero=True, name="embedding")(ids)
        x = keras.layers.Dropout(0.3, seed=2, name="dropout")(x)
        return keras.Model(ids, keras.layers.GlobalAveragePooling1D(name="mean")(x), name="text")

    weights = []
    for remat in (False, True):
        keras.utils.set_random_seed(0)
        trunk = Staged(text(), cuts=("embedding", "dropout"), remat=remat)
        model = mtlkeras.build_model(keras.Input((4,), dtype="int32"), trunk, HEADS)
        model.compile("sgd", run_eagerly=EAGERLY)
        model.train_on_batch(*examples_of(model.input))
        weights.append(model.get_weights())
    for old, new in zip(*weights, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


def test_it_is_saved_loaded_cloned_and_used_again(tmp_path):
    model, _ = trained(MLP_TRUNK.replace(remat=True))
    plain, _ = trained(MLP_TRUNK)
    count = len(model.trunk.segments.segments)
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    other = mtlkeras.build_model((6,), again.trunk, {"other": Regression()})
    for made in (again, keras.models.clone_model(model), other):
        assert len(made.trunk.segments.segments) == count == 2
    x, y = examples_of(model.input)
    again.train_on_batch(x, y)
    # Files of weights are the same with and without.
    for source, target in ((plain, model), (model, plain)):
        source.save_weights(tmp_path / "w.weights.h5")
        target.load_weights(tmp_path / "w.weights.h5")
        np.testing.assert_array_equal(target.trunk.get_weights()[0], source.trunk.get_weights()[0])


def test_a_config_of_before_has_no_remat():
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(RESNET)))
    del config["config"]["remat"]
    assert keras.saving.deserialize_keras_object(config) == RESNET
    assert RESNET.replace(remat=True) != RESNET
    assert "remat=True" in repr(RESNET.replace(remat=True))
