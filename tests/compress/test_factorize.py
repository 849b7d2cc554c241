"""Kernels as products: exact where the rank is there, and all names stay."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.compress import compare, factorize, prune_channels
from mtlkeras.heads import Classification, Regression, Tagging
from mtlkeras.trunks import LSTM, MLP, ResNet

RNG = np.random.default_rng(0)
HEADS = {"kind": Classification(4), "size": Regression(2)}


def of_low_rank(model, rank):
    """Gives the kernels of a model's trunk a rank."""
    for layer in model.trunk.layers:
        for weight in layer.weights:
            if weight.name == "kernel":
                shape = (int(np.prod(weight.shape[:-1])), weight.shape[-1])
                low = RNG.normal(size=(shape[0], rank)) @ RNG.normal(size=(rank, shape[1])) / 10
                weight.assign(low.reshape(weight.shape))
            elif weight.name == "bias":
                weight.assign(RNG.normal(size=weight.shape))
    return model


def model_of(trunk, inputs, heads=None):
    model = mtlkeras.build_model(inputs, trunk, heads or HEADS)
    model.compile(keras.optimizers.SGD(0.01))
    return of_low_rank(model, 2)


def outputs(model, x):
    return {task: keras.ops.convert_to_numpy(values) for task, values in model(x).items()}


CASES = {
    "dense": (lambda: model_of(MLP(depth=2, width=16), (9,)), ["hidden_1", "hidden_2"]),
    "convolutions": (lambda: model_of(ResNet(depth=8, width=8, shortcut="projection"), (12, 12, 3)), None),
    "recurrent": (
        lambda: model_of(
            LSTM(units=12, vocabulary_size=9, depth=2),
            keras.Input((None,), dtype="int32"),
            {"kind": Classification(4), "tags": Tagging(("a", "b"))},
        ),
        ["lstm_1", "lstm_2"],
    ),
    "a scheme with parts": (
        lambda: of_low_rank(
            mtlkeras.build_model((9,), MLP(depth=2, width=16), HEADS, mtlkeras.sharing.Branching()), 2
        ),
        None,
    ),
}


@pytest.mark.eager
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_same_where_kernels_have_the_rank(name, tmp_path):
    build, layers = CASES[name]
    model = build()
    x = (
        RNG.integers(0, 9, (3, 6)).astype("int32")
        if name == "recurrent"
        else RNG.normal(size=(3, *model.inputs[0].shape[1:])).astype("float32")
    )
    expected = outputs(model, x)
    for given in ({"rank": 2}, {"energy": 1.0}):
        smaller = factorize(model, **given)
        assert smaller.count_params() < model.count_params()
        for task, values in outputs(smaller, x).items():
            np.testing.assert_allclose(
                values, expected[task], rtol=1e-4, atol=1e-4 * np.abs(expected[task]).max()
            )
    if layers is not None:
        low = [layer.name for layer in smaller.trunk.layers if layer.name.endswith("_low")]
        assert low == [f"{name}_low" for name in layers]
    smaller.save(tmp_path / "low.keras")
    again = mtlkeras.load_model(tmp_path / "low.keras")
    np.testing.assert_array_equal(outputs(again, x)["kind"], outputs(smaller, x)["kind"])


def of_a_recurrent_layer(layer):
    x = keras.Input((None, 12))
    states = layer(x, mask=keras.ops.any(x > -2.0, axis=-1))
    model = mtlkeras.build_model(x, keras.Model(x, mtlkeras.layers.MaskedMax()(states)), HEADS)
    for weight in layer.weights:
        if weight.name == "bias":
            weight.assign(RNG.normal(size=weight.shape))
        else:
            low = RNG.normal(size=(weight.shape[0], 2)) @ RNG.normal(size=(2, weight.shape[1])) / 5
            weight.assign(low)
    return model


@pytest.mark.eager
@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "layer",
    [
        pytest.param(
            lambda: keras.layers.LSTM(16, return_sequences=True, name="states", recurrent_regularizer="l2"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda: keras.layers.GRU(16, return_sequences=True, name="states", activation="relu"),
            marks=pytest.mark.slow,
        ),
        lambda: keras.layers.Bidirectional(keras.layers.LSTM(16, return_sequences=True), name="states"),
    ],
)
def test_recurrent_kernels(layer, tmp_path):
    model = of_a_recurrent_layer(layer())
    model.compile("adam")
    x = RNG.normal(size=(3, 5, 12)).astype("float32")
    x[:, 3] = -3.0  # A step that is not there.
    expected = outputs(model, x)
    for given in ({"rank": 4}, {"energy": 1.0}):
        smaller = factorize(model, **given, kernels=("kernel", "recurrent_kernel"))
        for task, values in outputs(smaller, x).items():
            np.testing.assert_allclose(
                values, expected[task], atol=1e-4 * max(1, np.abs(expected[task]).max())
            )
    names = {weight.name for weight in smaller.trunk.get_layer("states").weights}
    assert names == {"kernel", "recurrent_low", "recurrent_kernel", "bias"}
    units = [w.shape for w in smaller.trunk.get_layer("states").weights if w.name == "recurrent_low"]
    assert set(units) == {(16, 2)}
    smaller.train_on_batch(x, {"kind": np.array([0, 1, -1]), "size": np.ones((3, 2))})
    smaller.save(tmp_path / "low.keras")
    again = mtlkeras.load_model(tmp_path / "low.keras")
    np.testing.assert_allclose(outputs(again, x)["size"], outputs(smaller, x)["size"], atol=1e-6)


@pytest.mark.eager
def test_recurrent_kernel_alone_is_the_nearest_of_its_rank():
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"), LSTM(units=12, vocabulary_size=9), {"kind": Classification(4)}
    )
    smaller = factorize(model, rank=3, kernels="recurrent_kernel")
    assert [layer.name for layer in smaller.trunk.layers] == [layer.name for layer in model.trunk.layers]
    kernel = model.trunk.get_layer("lstm_1").cell.recurrent_kernel.numpy()
    cell = smaller.trunk.get_layer("lstm_1").cell
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    np.testing.assert_allclose(
        cell.recurrent_low.numpy() @ cell.recurrent_kernel.numpy(),
        (left[:, :3] * values[:3]) @ right[:3],
        atol=1e-5,
    )


@pytest.mark.eager
def test_kernel_is_the_nearest_of_its_rank():
    model = mtlkeras.build_model((9,), MLP(depth=1, width=16), HEADS)
    kernel = model.trunk.get_layer("hidden_1").kernel.numpy()
    smaller = factorize(model, rank=3, layers=("hidden_1",))
    product = (
        smaller.trunk.get_layer("hidden_1_low").kernel.numpy()
        @ smaller.trunk.get_layer("hidden_1").kernel.numpy()
    )
    values = np.linalg.svd(kernel, compute_uv=False)
    assert np.linalg.norm(kernel - product) == pytest.approx(np.sqrt((values[3:] ** 2).sum()), rel=1e-5)
    assert not smaller.compiled


@pytest.mark.eager
def test_energy_is_the_share_of_squared_singular_values():
    model = mtlkeras.build_model((32,), MLP(depth=1, width=32), HEADS)
    kernel = np.diag(np.concatenate([[6.0, 3.0, 2.0], np.full(29, 1e-3)]))
    model.trunk.get_layer("hidden_1").kernel.assign(kernel)
    ranks = [factorize(model, energy=e).trunk.get_layer("hidden_1_low").units for e in (0.7, 0.9, 0.95, 0.99)]
    assert ranks == [1, 2, 3, 3]  # 36, 45 and 49 of 49.


@pytest.mark.eager
def test_factorised_model_trains_and_is_made_smaller_again():
    model = model_of(MLP(depth=2, width=16), (9,))
    x, y = (
        RNG.normal(size=(8, 9)).astype("float32"),
        {"kind": RNG.integers(0, 4, 8), "size": RNG.normal(size=(8, 2))},
    )
    smaller = factorize(model, rank=2)
    assert float(smaller.optimizer.learning_rate.numpy()) == pytest.approx(0.01)
    smaller.fit(x, y, verbose=0)
    again = prune_channels(factorize(smaller, rank=1, layers=("hidden_2",)), (x, y), weights=0.8)
    assert "hidden_2_low_2" in [layer.name for layer in again.trunk.layers]
    table = compare(model, again, x, (x, y), rounds=1)
    assert table["weights"] == (model.count_params(), again.count_params())
    assert {"flops", "latency_ms", "file_bytes", "loss", "kind_accuracy"} <= set(table.rows)
    assert "| weights |" in str(table)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 2, "energy": 0.5}, "received both"),
        ({"energy": 0}, "energy must be"),
        ({"rank": 0}, "rank"),
        ({"rank": 50}, "no layer would have fewer weights"),
        ({"rank": 50, "layers": ("hidden_1",)}, "layer 'hidden_1' would have no fewer weights"),
        ({"layers": ("hiden_1",)}, "Did you mean 'hidden_1'"),
        ({"layers": ("hidden_1_relu",)}, "layer 'hidden_1_relu' .* cannot be factorised"),
        ({"layers": "hidden_1"}, "names in a tuple"),
        ({"kernels": "recurent_kernel"}, "Did you mean 'recurrent_kernel'"),
        ({"kernels": ()}, "kernels= names none"),
        ({"kernels": None}, "kernels must be names in a tuple; received None"),
        ({"layers": ()}, "layers= names none"),
        ({"energy": True}, "energy must be"),
        (
            {"kernels": ("recurrent_kernel",)},
            r"no layer of the trunk can be factorised. 'hidden_1' \(Dense\) has no recurrent kernel",
        ),
        ({"kernels": "recurrent_kernel", "layers": ("hidden_1",)}, "'hidden_1' .* has no recurrent kernel"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        factorize(mtlkeras.build_model((9,), MLP(depth=1, width=16), HEADS), **arguments)


def test_weights_that_are_not_finite():
    model = mtlkeras.build_model((9,), MLP(depth=1, width=16), HEADS)
    kernel = model.trunk.get_layer("hidden_1").kernel
    kernel.assign(kernel.numpy() * np.inf)
    with pytest.raises(ValueError, match="weights of layer 'hidden_1' must be finite; its 'kernel' has NaN"):
        factorize(model, rank=2)


@pytest.mark.eager
def test_layers_that_are_called_by_name():
    x = keras.Input((9,))
    hidden = keras.layers.Dense(16, name="hidden")(inputs=x)
    model = model_of(keras.Model(x, keras.layers.Dense(16, name="last")(inputs=hidden)), (9,))
    layer = model.trunk.get_layer("hidden")
    layer.kernel.assign(np.outer(np.arange(9.0), np.arange(16.0)) / 100)
    x = RNG.normal(size=(3, 9)).astype("float32")
    smaller = factorize(model, rank=1, layers=("hidden",))
    for task, values in model(x).items():
        found, expected = (keras.ops.convert_to_numpy(v) for v in (smaller(x)[task], values))
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.SimpleRNN(4, name="rnn"), "is no LSTM or GRU but SimpleRNN"),
        (lambda: keras.layers.LSTM(4, recurrent_dropout=0.1, name="rnn"), "has dropout within"),
        (lambda: keras.layers.GRU(4, reset_after=False, name="rnn"), "resets before the kernel"),
    ],
)
def test_recurrent_kernels_that_stay(layer, message):
    x = keras.Input((5, 12))
    model = mtlkeras.build_model(x, keras.Model(x, layer()(x)), HEADS)
    with pytest.raises(ValueError, match=message):
        factorize(model, rank=1, layers=("rnn",), kernels="recurrent_kernel")


@pytest.mark.parametrize(
    ("after", "x", "data", "message"),
    [
        (None, np.ones((1, 9)), None, "expected a MultiTaskModel; received NoneType"),
        ((4,), np.ones((1, 9)), None, r"of shapes like \(None, 4\); received \(1, 9\)"),
        ((9,), np.ones(9), None, r"of shapes like \(None, 9\); received \(9,\)"),
        ((9,), np.ones((2, 9)).tolist(), None, r"received \(\), \(\), \(\), \(\) and 14 more"),
        ((9,), np.ones((1, 9)), iter(()), "each model reads data= from its start"),
        ((9,), np.ones((1, 9)), {"x": 1}, "compare: data must be .* received dict"),
    ],
)
def test_compare_refuses(after, x, data, message):
    models = [
        mtlkeras.build_model(inputs, MLP(depth=1, width=2), HEADS) if inputs else None
        for inputs in ((9,), after)
    ]
    for model in filter(None, models):
        model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        compare(*models, x, data)


@pytest.mark.tensorflow
def test_compare_refuses_data_without_an_end():
    import tensorflow as tf

    model = model_of(MLP(depth=1, width=2), (9,))
    x = np.ones((2, 9))
    data = tf.data.Dataset.from_tensors((x, {"kind": np.ones(2, int)})).repeat()
    with pytest.raises(ValueError, match="the data set has no end"):
        compare(model, model, x, data)


def test_models_of_other_tasks_are_not_compared():
    one = mtlkeras.build_model((2,), MLP(depth=1, width=2), {"a": Regression()})
    other = mtlkeras.build_model((2,), MLP(depth=1, width=2), {"b": Regression()})
    with pytest.raises(ValueError, match="other tasks: a and b"):
        compare(one, other, np.ones((1, 2)))
    with pytest.raises(ValueError, match="is not compiled"):
        compare(one, one, np.ones((1, 2)), (np.ones((1, 2)), {"a": np.ones(1)}), rounds=1)
