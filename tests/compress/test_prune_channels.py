"""Channels are removed: the model computes what the whole one does where they are zero."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.compress import factorize, flops_by_layer, prunable, prune_channels
from mtlkeras.compress._graph import Graph
from mtlkeras.compress._importance import taylor
from mtlkeras.compress._named import named_layers
from mtlkeras.compress._selection import Size
from mtlkeras.heads import Classification, Regression, Segmentation, Tagging
from mtlkeras.trunks import BERT, DPCNN, LSTM, MLP, VGG, AlexNet, BiLSTM, CNNAttention, GoogLeNet, ResNet

HEADS = {"kind": Classification(4), "size": Regression(2)}
RNG = np.random.default_rng(0)
# Of untrained networks that stay in scale: the rounding of scores in the hundreds is more than 1e-5.
IMAGES = {
    "ResNet, padding": ResNet(depth=8, width=8),
    "ResNet, bottleneck": ResNet(depth=50, width=4, zero_last_gamma=True),
    "ResNet, group": ResNet(depth=8, width=16, normalization="group"),
    "ResNet, per source": ResNet(depth=8, width=8, normalization="batch_per_source", sources=2),
    "VGG": VGG(depth=11, width=4, fc_units=16),
    "AlexNet": AlexNet(width=16, fc_units=16),
    "GoogLeNet": GoogLeNet(width=8),
}
SLOW_ON_JAX = ("ResNet, group", "ResNet, per source", "AlexNet", "VGG")
SLOW = ("ResNet, bottleneck", "GoogLeNet")


def model_of(trunk, heads=None, inputs=(16, 16, 3)):
    heads = heads or {"kind": Classification(4), "size": Regression(2), "mask": Segmentation(3, width=4)}
    if getattr(trunk, "reads_source", False):
        inputs = {"image": inputs, "source": keras.Input((1,), dtype="int32", name="source")}
    model = mtlkeras.build_model(inputs, trunk, heads)
    model.compile("sgd")
    for weight in model.weights:  # All different, so that what is left can be told.
        if (len(weight.shape) == 1 or weight.name == "bias") and "float" in weight.dtype:
            weight.assign(weight.numpy() + RNG.uniform(0.01, 0.1, weight.shape))
    return model


def inputs_of(model, rows=4):
    found = {
        x.name: RNG.integers(0, 2, (rows, *[7 if n is None else n for n in x.shape[1:]])).astype(x.dtype)
        if "int" in x.dtype
        else RNG.normal(size=(rows, *x.shape[1:])).astype("float32")
        for x in model.inputs
    }
    return found if len(found) > 1 else next(iter(found.values()))


def labels_of(model, rows=4):
    labels = {
        "kind": RNG.integers(0, 4, rows),
        "size": RNG.normal(size=(rows, 2)),
        "mask": RNG.integers(0, 3, (rows, 16, 16)),
        "tags": RNG.integers(0, 3, (rows, 7)),
    }
    return {task: labels[task] for task in model.heads}


def silenced(whole, pruned):
    """Makes the channels of `whole` zero that `pruned` has not; returns how many there were."""
    count = 0
    there = {layer.name: layer for layer in pruned.trunk.layers}
    for layer in whole.trunk.layers:
        if isinstance(layer, mtlkeras.layers.SelfAttention):
            count += silence_heads(layer.attention, there[layer.name].attention)
            continue
        parts = (
            len(layer.weights) // 2 if isinstance(layer, keras.layers.Bidirectional) else len(layer.weights)
        )
        for start in range(0, len(layer.weights), max(parts, 1)):
            own = slice(start, start + parts)
            count += silence(layer.weights[own], there[layer.name].weights[own])
    return count


def silence_heads(attention, left):
    """Makes zero what the output reads of the heads that `left` has not; biases of queries tell them."""
    there = left.query_dense.bias.numpy().tolist()
    kept = np.array([row in there for row in attention.query_dense.bias.numpy().tolist()])
    kernel = attention.output_dense.kernel
    kernel.assign(kernel.numpy() * kept[:, None, None])
    return int((~kept).sum())


def silence(weights, left):
    """Makes the columns zero that `left` has not; a unit of an LSTM gives 0 then, as its candidates are 0."""
    named = {weight.name: weight for weight in weights}
    mark = next((name for name in ("bias", "gamma", "embeddings") if name in named), None)
    if mark is None:
        return 0
    remaining = {weight.name: weight for weight in left}[mark].numpy()
    marks = named[mark].numpy()
    kept = np.isin(marks.reshape(-1, marks.shape[-1])[-1], remaining.reshape(-1, remaining.shape[-1])[-1])
    for name in ("bias", "gamma", "beta", "embeddings", "kernel", "recurrent_kernel", "pointwise_kernel"):
        if name in named and named[name].shape[-1] == len(kept):
            named[name].assign(named[name].numpy() * kept)
    return int((~kept).sum())


def assert_same(one, other, x, tolerance=1e-5):
    found = other(x)
    for task, expected in one(x).items():
        expected, values = keras.ops.convert_to_numpy(expected), keras.ops.convert_to_numpy(found[task])
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.eager
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=[
                *([pytest.mark.slow] if name in SLOW else []),
                *([pytest.mark.slow_on_jax] if name in SLOW_ON_JAX else []),
            ],
        )
        for name in IMAGES
    ],
)
def test_image_trunk_computes_what_it_does_with_channels_of_zero(name):
    model = model_of(IMAGES[name])
    x = inputs_of(model)
    pruned = prune_channels(model, (x, labels_of(model)), flops=0.6)
    assert sum(flops_by_layer(pruned).values()) <= 0.6 * sum(flops_by_layer(model).values())
    assert silenced(model, pruned) > 10
    assert_same(model, pruned, x)


@pytest.mark.eager
@pytest.mark.parametrize("normalization", [None, "batch", "group"])
def test_mlp(normalization):
    model = model_of(
        MLP(depth=3, width=32, normalization=normalization),
        {"kind": Classification(4), "size": Regression(2)},
        (5,),
    )
    x = inputs_of(model)
    pruned = prune_channels(model, weights=0.6, importance="magnitude")
    assert pruned.count_params() <= 0.6 * model.count_params()
    assert silenced(model, pruned) > 5
    assert_same(model, pruned, x)


TEXTS = {
    "LSTM": LSTM(units=12, depth=2, vocabulary_size=9, normalization=None),
    "BiLSTM": BiLSTM(units=12, depth=2, vocabulary_size=9, normalization=None, pooling="last"),
    "DPCNN": DPCNN(width=12, depth=2, vocabulary_size=9),
    "CNNAttention": CNNAttention(width=12, depth=2, vocabulary_size=9, embedding_units=20),
}


@pytest.mark.eager
@pytest.mark.parametrize("name", TEXTS)
def test_text_trunk_computes_what_it_does_where_nothing_reads_the_channels(name):
    tags = {"tags": Tagging(("a", "b", "c"))} if name != "DPCNN" else {}
    ids = keras.Input((None,), dtype="int32")
    model = model_of(TEXTS[name], {"kind": Classification(4), **tags}, ids)
    x = inputs_of(model)
    pruned = prune_channels(model, (x, labels_of(model)), weights=0.75)
    assert pruned.count_params() <= 0.75 * model.count_params()
    assert silenced(model, pruned) > 5
    assert_same(model, pruned, x)


def many_layers(x):
    """A trunk of layers that no trunk of ours has; none is as wide as what comes before it."""
    layers = keras.layers
    x = layers.Conv2D(7, 3, strides=2, name="stem")(x)
    y = layers.Conv2D(12, 1, name="widen")(x)
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(y)
    y = layers.BatchNormalization(name="norm")(y)
    gate = layers.Dense(24, "sigmoid", name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    y = layers.Multiply()([y, gate])
    y = layers.Conv2D(7, 1, name="narrow")(y)
    x = keras.ops.relu(x + y) * 0.5
    x = layers.SeparableConv2D(10, 3, depth_multiplier=2, name="separable")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="slopes")(x)
    x = layers.Concatenate()([x, layers.Conv2D(6, 1, groups=2, name="groups")(x)])
    twice = layers.Conv2D(16, 3, padding="same", name="twice")
    x = layers.Reshape((-1, 16))(twice(twice(x)))
    x = layers.GRU(9, return_sequences=True, name="gru")(x)
    x = layers.Bidirectional(layers.LSTM(5), merge_mode="sum", name="sum")(x)
    return layers.Dense(11, "tanh", name="last")(x)


@pytest.mark.eager
@pytest.mark.slow_on_jax
def test_functional_model_as_trunk():
    x = keras.Input((12, 12, 3))
    model = model_of(keras.Model(x, many_layers(x)), HEADS, (12, 12, 3))
    x = inputs_of(model)
    # Without gradients: of convolutions in groups TensorFlow has none on some processors.
    pruned = prune_channels(model, flops=0.6, importance="magnitude")
    assert silenced(model, pruned) > 10
    assert_same(model, pruned, x)


def time_by_weights(monkeypatch):
    """Has a prediction take a microsecond for each weight, so that a search by time has one answer."""
    monkeypatch.setattr(
        "mtlkeras.compress.prune.latencies",
        lambda models, x, rounds: [model.count_params() / 1000 for model in models],
    )


@pytest.mark.eager
def test_target_in_milliseconds_is_met_by_the_largest_model_that_was_tried(monkeypatch):
    time_by_weights(monkeypatch)
    model = model_of(MLP(depth=2, width=64), HEADS, (5,))
    x = inputs_of(model)
    weights = model.count_params()
    pruned = prune_channels(model, milliseconds=np.float32(0.6 * weights / 1000), x=x, importance="random")
    assert 0.5 * weights < pruned.count_params() <= 0.6 * weights
    pruned.train_on_batch(x, labels_of(model))
    with pytest.raises(ValueError, match=r"milliseconds=0.001 cannot be met: 0\.\d+ can, with keep="):
        prune_channels(model, milliseconds=0.001, x=x, importance="random")
    with pytest.raises(
        ValueError, match=r"milliseconds=90 needs no channels removed: the model takes 4\.\d+"
    ):
        prune_channels(model, milliseconds=90, x=x, importance="random")


@pytest.mark.eager
def test_milliseconds_of_sequences_of_any_length(monkeypatch):
    time_by_weights(monkeypatch)
    trunk = LSTM(units=8, vocabulary_size=9)
    model = model_of(trunk, {"kind": Classification(4)}, keras.Input((None,), dtype="int32"))
    x, before = inputs_of(model), model.count_params()
    pruned = prune_channels(model, milliseconds=0.8 * before / 1000, x=x, importance="magnitude")
    assert pruned.count_params() <= 0.8 * before


def small():
    return model_of(ResNet(depth=8, width=8), HEADS)


@pytest.mark.eager
def test_model_is_plain_and_whole(tmp_path):
    model = small()
    x = inputs_of(model)
    y = labels_of(model)
    model.compile(keras.optimizers.Adam(0.02), balancer=mtlkeras.balancers.DWA(), loss_weights={"size": 0.5})
    model.skip_non_finite = True
    before = model.get_weights()
    pruned = prune_channels(model, (x, y), flops=0.7)
    for value, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept)
    assert [layer.name for layer in pruned.trunk.layers] == [layer.name for layer in model.trunk.layers]
    assert [type(layer) for layer in pruned.layers] == [type(layer) for layer in model.layers]
    assert pruned.heads == model.heads
    assert pruned.skip_non_finite
    assert pruned.balancing.balancer == mtlkeras.balancers.DWA()
    assert float(pruned.optimizer.learning_rate.numpy()) == pytest.approx(0.02)
    assert {o.task: o.weight for o in pruned._objectives.values()} == {"kind": 1.0, "size": 0.5}
    pruned.fit(x, y, verbose=0)
    pruned.save(tmp_path / "small.keras")
    again = mtlkeras.load_model(tmp_path / "small.keras")
    assert_same(pruned, again, x, 1e-6)
    smaller = prune_channels(again, (x, y), flops=0.7)
    assert sum(flops_by_layer(smaller).values()) <= 0.7 * sum(flops_by_layer(pruned).values())


@pytest.mark.tensorflow
def test_pruned_model_is_exported(tmp_path):
    import tensorflow as tf

    model = model_of(MLP(depth=2, width=8), HEADS, (5,))
    x = inputs_of(model)
    pruned = prune_channels(model, weights=0.7, importance="random")
    pruned.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    np.testing.assert_allclose(served.serve_raw(tf.constant(x))["kind"], pruned(x)["kind"], atol=1e-6)


@pytest.mark.eager
def test_heads_lose_only_what_they_read_of_the_trunk():
    model = small()
    pruned = prune_channels(model, weights=0.6, importance="magnitude")
    for task in HEADS:
        old, new = model.get_layer(f"{task}_logits"), pruned.get_layer(f"{task}_logits")
        assert new.units == old.units and new.kernel.shape[0] < old.kernel.shape[0]
        np.testing.assert_array_equal(new.bias.numpy(), old.bias.numpy())


@pytest.mark.eager
def test_what_is_in_keep_keeps_its_channels():
    model = model_of(
        MLP(depth=3, width=16), {"kind": Classification(4, hidden=(12,)), "size": Regression(2)}, (5,)
    )
    pruned = prune_channels(model, weights=0.8, importance="random", keep=("hidden_2", "size"))
    units = {
        layer.name: layer.units for layer in [*pruned.trunk.layers, *pruned.layers] if hasattr(layer, "units")
    }
    assert units["hidden_2"] == 16 and units["kind_logits"] == 4
    assert units["hidden_1"] < 16 and units["hidden_3"] < 16 and units["kind_hidden_1"] < 12
    trunk = prune_channels(model, weights=0.95, importance="random", keep=("trunk",))
    assert trunk.get_layer("kind_hidden_1").units < 12 and trunk.trunk.get_layer("hidden_1").units == 16


@pytest.mark.eager
def test_layers_keep_multiples_and_some_channels():
    model = small()
    pruned = prune_channels(model, flops=0.6, importance="random", round_to=4, most=0.5)
    for old, new in zip(model.trunk.layers, pruned.trunk.layers, strict=True):
        if isinstance(old, keras.layers.Conv2D):
            assert new.filters % 4 == 0 and new.filters >= old.filters / 2
    least = prune_channels(model, weights=0.03, importance="random", most=0.99)
    assert all(layer.filters >= 1 for layer in least.trunk.layers if hasattr(layer, "filters"))


@pytest.mark.eager
def test_channels_go_by_the_losses_of_all_tasks():
    """Of six units each task reads two alone: those of the heavier task and no unread ones are left."""
    model = mtlkeras.build_model((6,), MLP(depth=1, width=6), {"a": Regression(), "b": Regression()})
    identity = np.eye(6)
    reads = {"a": [3.0, 3.0, 0, 0, 0, 0], "b": [0, 0, 1.0, 1.0, 0, 0]}
    model.trunk.get_layer("hidden_1").set_weights([identity, np.ones(6)])
    for task, row in reads.items():
        model.get_layer(f"{task}_logits").set_weights([np.array(row)[:, None], np.zeros(1)])
    model.compile("sgd")
    data = RNG.uniform(size=(16, 6)).astype("float32"), {"a": RNG.normal(size=16), "b": RNG.normal(size=16)}
    left = {}
    for share in (0.7, 0.4):
        kernel = prune_channels(model, data, weights=share).trunk.get_layer("hidden_1").kernel
        left[share] = sorted(int(row) for row in np.argmax(kernel.numpy(), axis=0))
    assert left == {0.7: [0, 1, 2, 3], 0.4: [0, 1]}


@pytest.mark.eager
def test_taylor_is_the_squared_change_of_the_loss_to_first_order():
    model = mtlkeras.build_model((3,), MLP(depth=1, width=4), {"y": Regression(), "z": Regression()})
    model.compile("sgd", loss_weights={"z": 3.0})
    x = RNG.normal(size=(6, 3)).astype("float32")
    y = {task: RNG.normal(size=6) for task in model.heads}
    graph = Graph(model)
    found = taylor(graph, (x, y), 3)
    layer = next(one for one in graph.makers() if one.layer.name == "hidden_1")
    hidden = keras.ops.convert_to_numpy(model.trunk(x)).astype("float64")
    expected = np.zeros(4)
    for rows in (slice(0, 3), slice(3, 6)):
        change = 0.0
        for task, weight in {"y": 1.0, "z": 3.0}.items():
            kernel, bias = (
                np.asarray(w.numpy(), "float64") for w in model.get_layer(f"{task}_logits").weights
            )
            error = (hidden[rows] @ kernel + bias)[:, 0] - y[task][rows]
            change += weight * 2 / 3 * (error @ hidden[rows]) * kernel[:, 0]
        expected += change**2 / 2
    np.testing.assert_allclose(found[graph.channels.roots(layer.made)], expected, rtol=1e-4)


def test_savings_are_what_the_size_is_less_by():
    graph = Graph(model_of(ResNet(depth=8, width=4), HEADS))
    for by in ("flops", "weights"):
        size = Size(graph, by)
        for layer in graph.makers()[:6]:
            root = int(graph.channels.roots(layer.made)[1])
            assert size.savings()[root] == pytest.approx(size.without(()) - size.without([root]))


@pytest.mark.eager
def test_labels_may_be_missing_and_data_be_a_data_set():
    model = model_of(MLP(depth=1, width=8), HEADS, (5,))
    x, y = inputs_of(model, 8), {"kind": np.array([1, -1, 2, 0, -1, 3, 1, 1])}
    whole = prune_channels(model, (x, y), weights=0.6, batch_size=4)
    assert whole.trunk.get_layer("hidden_1").units < 8
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
        assert_same(whole, prune_channels(model, batches, weights=0.6), x, 1e-6)


@pytest.mark.eager
@pytest.mark.parametrize("name", ["SoftSharing", "CrossStitch", "MMoE"])
def test_sharing_schemes(name):
    trunk = MLP(depth=2, width=12)
    model = mtlkeras.build_model((5,), trunk, HEADS, sharing=getattr(mtlkeras.sharing, name)())
    model.compile("sgd")
    x = inputs_of(model)
    pruned = prune_channels(model, weights=0.75, importance="magnitude")
    assert pruned.count_params() <= 0.75 * model.count_params()
    pruned.train_on_batch(x, labels_of(model))


@pytest.mark.eager
@pytest.mark.slow
def test_heads_of_attention_go_one_by_one():
    trunk = BERT(depth=2, width=24, heads=4, intermediate=20, vocabulary_size=9, max_length=12)
    heads = {"kind": Classification(4), "tags": Tagging(("a", "b", "c"))}
    model = model_of(trunk, heads, keras.Input((None,), dtype="int32"))
    x = inputs_of(model)
    assert prunable(model)["block_1_attention"] == 4
    pruned = prune_channels(model, (x, labels_of(model)), weights=0.7, keep=("heads", "block_2_hidden"))
    left = [pruned.trunk.get_layer(f"block_{number}_attention") for number in (1, 2)]
    assert sum(layer.heads for layer in left) < 8 and all(layer.attention.key_dim == 6 for layer in left)
    assert silenced(model, pruned) > 5
    assert_same(model, pruned, x)
    again = prune_channels(pruned, weights=0.9, importance="magnitude")
    again.train_on_batch(x, labels_of(model))
    assert again.count_params() <= 0.9 * pruned.count_params()


@pytest.mark.eager
def test_heads_of_attention_in_a_model_of_ones_own():
    x = keras.Input((5, 6))
    attended = keras.layers.MultiHeadAttention(3, 4, output_shape=8, name="attention")(x, x)
    model = model_of(keras.Model(x, keras.layers.Flatten()(attended)), HEADS, (5, 6))
    x = inputs_of(model)
    pruned = prune_channels(model, (x, labels_of(model)), weights=0.9)
    layer, less = (m.trunk.get_layer("attention") for m in (model, pruned))
    assert less.num_heads < 3 and less.value_dense.kernel.shape == (6, less.num_heads, 4)
    kept = np.isin(layer.key_dense.kernel.numpy()[0, :, 0], less.key_dense.kernel.numpy()[0, :, 0])
    layer.output_dense.kernel.assign(layer.output_dense.kernel.numpy() * kept[:, None, None])
    assert_same(model, pruned, x)


@pytest.mark.eager
@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_units_of_recurrent_kernels_of_low_rank(both):
    x = keras.Input((5, 6))
    layer = keras.layers.GRU(12, name="gru", bias_initializer="glorot_normal")
    layer = keras.layers.Bidirectional(layer, name="gru") if both else layer
    model = model_of(keras.Model(x, layer(x)), HEADS, (5, 6))
    model = factorize(model, rank=2, kernels="recurrent_kernel")
    x = inputs_of(model)
    pruned = prune_channels(model, (x, labels_of(model)), weights=0.7)
    whole, less = (m.trunk.get_layer("gru").weights for m in (model, pruned))
    found = {}
    for one, other in zip(whole, less, strict=True):
        if one.name == "recurrent_low":
            kept = np.isin(one.numpy()[:, 0], other.numpy()[:, 0])
            found[len(found)] = kept
            one.assign(one.numpy() * kept[:, None])
    assert not all(kept.all() for kept in found.values())
    for task in HEADS:
        kernel = model.get_layer(f"{task}_logits").kernel
        kernel.assign(kernel.numpy() * np.concatenate(list(found.values()))[:, None])
    assert_same(model, pruned, x)


def test_names_and_numbers_of_what_can_go():
    model = model_of(
        CNNAttention(width=8, depth=1, vocabulary_size=9),
        {"kind": Classification(4)},
        keras.Input((None,), dtype="int32"),
    )
    found = prunable(model)
    assert found["token_embedding"] == 100
    assert found["conv_1"] == "they go through 'attention_1' (SelfAttention): it computes over all channels"


def test_flops_are_those_that_tensorflow_counts():
    """Of a model of kernels alone: TensorFlow's profiler counts what else there is."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's profiler")
    layers = keras.layers
    x = keras.Input((9, 9, 4))
    y = layers.Conv2D(6, 3, strides=2, use_bias=False)(x)
    y = layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(y)
    y = layers.Conv2D(8, 1, groups=1, use_bias=False)(y)
    y = layers.Dense(5, use_bias=False)(layers.Flatten()(y))
    model = keras.Model(x, y)
    assert sum(flops_by_layer(model).values()) == mtlkeras.tuning.count_flops(model)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"flops": 0.5, "weights": 0.5}, "received both"),
        ({"flops": 1.5}, "between 0 and 1; received 1.5"),
        ({"flops": "half"}, "between 0 and 1; received 'half'"),
        ({"milliseconds": 2.0}, "milliseconds= and x= go together"),
        ({"x": np.ones((1, 5))}, "milliseconds= and x= go together"),
        ({"milliseconds": 1, "x": np.ones((2, 4))}, r"shapes like \(None, 5\); received \(2, 4\)"),
        ({"milliseconds": 1, "x": np.ones((0, 5))}, r"received \(0, 5\)"),
        ({"milliseconds": 1, "x": [np.ones((1, 5))] * 2}, r"received \(1, 5\), \(1, 5\)"),
        ({"milliseconds": -1, "x": np.ones((1, 5))}, "milliseconds must be above 0; received -1"),
        ({"importance": "tailor"}, "Did you mean 'taylor'"),
        ({"keep": ("hiden_1",)}, "Did you mean 'hidden_1'"),
        ({"keep": "heads"}, r"such as \('heads',\)"),
        ({"keep": None}, "keep must be names in a tuple; received None"),
        ({"keep": ({},)}, "keep must be names in a tuple"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1; received 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0; received -1"),
        ({"round_to": 0}, "round_to"),
        ({"most": 1}, "most must be"),
        ({"most": "all"}, "most must be between 0 and 1; received 'all'"),
        ({"data": "some.csv"}, "data must be .* or a data set; received str"),
        ({"data": {"x": 1, "y": 2}}, "received dict"),
        ({"data": 3}, "received int"),
        ({"data": (1,)}, "received tuple of 1"),
        ({"data": iter(())}, "data= has no batch"),
        ({}, "needs data="),
        ({"weights": 0.01, "importance": "random"}, r"weights=0.01 cannot be met: 0\.\d+ can"),
        ({"keep": ("heads", "trunk"), "importance": "random"}, "no channel can be removed"),
    ],
)
def test_refused(arguments, message):
    model = model_of(MLP(depth=1, width=8), HEADS, (5,))
    with pytest.raises(ValueError, match=message):
        prune_channels(model, **arguments)


@pytest.mark.eager
def test_data_that_tell_nothing():
    model = model_of(MLP(depth=1, width=8), HEADS, (5,))
    x = inputs_of(model)
    with pytest.raises(ValueError, match="no loss of data= depends on any channel"):
        prune_channels(model, (x, {"kind": np.full(4, -1)}))
    with pytest.raises(ValueError, match="not finite"):
        prune_channels(model, (x * np.nan, labels_of(model)))


@pytest.mark.parametrize("importance", ["taylor", "magnitude", "random"])
def test_weights_that_are_not_finite(importance):
    model = model_of(MLP(depth=1, width=8), HEADS, (5,))
    kernel = model.trunk.get_layer("hidden_1").kernel
    kernel.assign(kernel.numpy() * np.where(np.arange(8) == 3, np.nan, 1.0))
    with pytest.raises(ValueError, match="weights of layer 'hidden_1' must be finite; its 'kernel' has NaN"):
        prune_channels(model, weights=0.6, importance=importance)


@pytest.mark.eager
def test_gradients_that_float16_cannot_hold_are_taken_at_a_smaller_scale():
    keras.config.set_dtype_policy("mixed_float16")
    model = model_of(MLP(depth=1, width=8), {"size": Regression(2)}, (5,))
    x, y = inputs_of(model), labels_of(model)
    graph = Graph(model)
    found = {factor: taylor(graph, (x, {"size": y["size"] * factor}), 4) for factor in (1e4, 1e6)}
    assert found[1e4].any()
    # What is a millionth of the largest is a difference of numbers that float16 rounds.
    np.testing.assert_allclose(found[1e6] / 1e4, found[1e4], rtol=0.05, atol=1e-5 * found[1e4].max())


@pytest.mark.tensorflow
def test_labels_of_a_pipeline_that_do_not_fit_are_told_as_others_are():
    import tensorflow as tf

    model = model_of(MLP(depth=1, width=8), HEADS, (5,))
    data = tf.data.Dataset.from_tensor_slices((inputs_of(model), {"kind": np.full(4, 9)})).batch(2)
    with pytest.raises(ValueError, match="Labels of task 'kind': a label is outside the classes 0 to 3"):
        prune_channels(model, data)


def twice(inputs):
    """A layer, and a model, that are called several times, by place and by name."""
    again = keras.layers.Dense(12, "relu", name="again")
    inner_x = keras.Input((12,))
    inner = keras.Model(inner_x, keras.layers.Dense(12, "relu", name="within")(inner_x), name="inner")
    x = again(again(inputs=keras.layers.Dense(12, "relu", name="first")(inputs)))
    return keras.layers.Concatenate()([x, inner(inner(x)), again(keras.ops.relu(x))])


@pytest.mark.eager
def test_layers_and_models_that_are_called_several_times_lose_the_same():
    x = keras.Input((5,))
    model = model_of(keras.Model(x, twice(x)), HEADS, (5,))
    x = inputs_of(model)
    pruned = prune_channels(model, (x, labels_of(model)), weights=0.6)
    assert pruned.trunk.get_layer("again").units < 12
    for whole, less in zip(named_layers(model), named_layers(pruned), strict=True):
        if isinstance(whole[1], keras.layers.Dense) and whole[1].units > less[1].units:
            silence(whole[1].weights, less[1].weights)
    assert_same(model, pruned, x)


@pytest.mark.eager
@pytest.mark.parametrize("function", [prunable, flops_by_layer])
def test_what_is_no_model(function):
    with pytest.raises(ValueError, match=rf"{function.__name__}: expected a .*; received str"):
        function("model.keras")


def test_taylor_needs_a_compiled_model():
    model = mtlkeras.build_model((5,), MLP(depth=1, width=8), HEADS)
    with pytest.raises(ValueError, match="is not compiled"):
        prune_channels(model, (inputs_of(model), {"kind": np.zeros(4, int)}))


def test_layers_that_cannot_lose_channels_are_named():
    model = mtlkeras.build_model((5,), MLP(depth=1, width=8, normalization="layer"), HEADS)
    with pytest.raises(ValueError, match="Channels stay that go through 'hidden_1_norm'"):
        prune_channels(model, importance="random")


def test_operations_of_an_unknown_size_are_not_counted():
    model = model_of(
        LSTM(units=4, vocabulary_size=9), {"kind": Classification(4)}, keras.Input((None,), dtype="int32")
    )
    with pytest.raises(ValueError, match="cannot be counted"):
        prune_channels(model, flops=0.5, importance="random")
