"""`SharedProjection`: inputs of several kinds on one base, and what an example lacks of them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, Regression
from mtlkeras.layers import Presence, ZeroWhereMissing
from mtlkeras.sharing import MTAN, CrossStitch
from mtlkeras.trunks import LSTM, MLP, ResNet, SharedProjection, Staged

NAN = np.nan
WEATHER, VOICE = (3,), (2,)


def two_tables(**more):
    shapes = {"weather": WEATHER, "voice": VOICE}
    return {**{name: keras.Input(shape, name=name) for name, shape in shapes.items()}, **more}


def whole_numbers(name, shape=()):
    return keras.Input(shape, dtype="int32", name=name)


def outputs_of(trunk, inputs, x):
    model = keras.Model(inputs, trunk(inputs).vector)
    return model, np.asarray(model(x))


def kernel_of(model, name="projection"):
    return [np.asarray(w) for w in model.get_layer(name).weights]


@pytest.mark.slow_on_jax
def test_a_base_is_one_dense_layer_of_all_standardised_inputs():
    trunk = SharedProjection(
        5, activation="linear", mean={"weather": 2.0}, scale={"weather": (1.0, 2.0, 4.0)}
    )
    rng = np.random.default_rng(0)
    x = {"weather": rng.normal(size=(4, 3)).astype("float32"), "voice": rng.random((4, 2), "float32")}
    model, found = outputs_of(trunk, two_tables(), x)
    kernel, bias = kernel_of(model)
    merged = np.concatenate([(x["weather"] - 2.0) / [1.0, 2.0, 4.0], x["voice"]], axis=1)
    np.testing.assert_allclose(found, merged @ kernel + bias, rtol=1e-5, atol=1e-5)


def test_what_is_missing_adds_nothing_whatever_stands_there():
    trunk = SharedProjection(
        5,
        activation="linear",
        mean={"weather": 2.0},
        categories={"kind": 4},
        present={"voice": ("source", 1, 3), "flag": "has_flag"},
    )
    inputs = two_tables(
        kind=whole_numbers("kind"),
        flag=keras.Input((1,), name="flag"),
        source=whole_numbers("source"),
        has_flag=keras.Input((), dtype="bool", name="has_flag"),
    )
    x = {
        "weather": np.array([[NAN] * 3, [1.0, 0.0, 2.0], [3.0, 4.0, 5.0]], "float32"),
        "voice": np.array([[5.0, 6.0], [NAN, np.inf], [7.0, 8.0]], "float32"),
        "kind": np.array([-1, 2, -1]),
        "flag": np.array([[9.0], [8.0], [7.0]], "float32"),
        "source": np.array([1, 0, 3]),
        "has_flag": np.array([False, True, False]),
    }
    model, found = outputs_of(trunk, inputs, x)
    kernel, bias = kernel_of(model)
    embedded = kernel_of(model, "kind_embedding")[0][3]
    nothing = np.zeros(2)
    rows = [
        [*np.zeros(3), 5.0, 6.0, *nothing, 0.0],
        [-1.0, -2.0, 0.0, *nothing, *embedded, 8.0],
        [1.0, 2.0, 3.0, 7.0, 8.0, *nothing, 0.0],
    ]
    np.testing.assert_allclose(found, np.array(rows) @ kernel + bias, rtol=1e-5, atol=1e-5)


def test_one_entry_that_is_there_makes_a_row_present():
    layer = Presence()
    assert np.asarray(layer(np.array([[NAN, 1.0], [NAN, NAN]], "float32"))).tolist() == [True, False]
    assert np.asarray(layer(np.array([[-1, 0], [-1, -1]]))).tolist() == [True, False]
    assert np.asarray(layer(np.array([255, 0], "uint8"))).tolist() == [True, True]
    zeros = Presence(zeros=True)
    assert np.asarray(zeros(np.array([[0, -1], [0, 3]]))).tolist() == [False, True]
    again = Presence.from_config(Presence((0, 2)).get_config())
    assert np.asarray(again(np.array([[0], [1], [2]]))).tolist() == [True, False, True]
    assert ZeroWhereMissing.from_config(ZeroWhereMissing(name="z").get_config()).name == "z"


@pytest.mark.tensorflow
def test_an_empty_string_is_missing():
    trunk = SharedProjection(2, categories={"word": ("a", "b")})
    inputs = {"word": keras.Input((), dtype="string", name="word")}
    words = keras.ops.convert_to_tensor(["", "a"])
    model, found = outputs_of(trunk, inputs, {"word": words})
    assert found[0].tolist() == np.maximum(kernel_of(model)[1], 0).tolist()
    assert np.asarray(model.get_layer("word_present")(words)).tolist() == [False, True]


@pytest.mark.eager
@pytest.mark.slow_on_jax
def test_nothing_is_learned_from_a_filled_input():
    """A step on examples of one source leaves what reads the other's input, its encoder too, as it was."""
    trunk = SharedProjection(4, MLP(depth=1, width=3), encoders={"photo": ResNet(8, width=2)})
    inputs = {"weather": keras.Input(WEATHER, name="weather"), "photo": keras.Input((8, 8, 1), name="photo")}
    model = mtlkeras.build_model(inputs, trunk, {"a": Regression(), "b": Classification(2)})
    model.compile(keras.optimizers.SGD(0.1))
    x = {"weather": np.ones((4, 3), "float32"), "photo": np.full((4, 8, 8, 1), NAN, "float32")}
    layer = model.trunk.get_layer
    before = [np.array(w) for w in layer("photo_encoder").trainable_weights]
    kernel = np.array(layer("projection").kernel)
    loss = model.train_on_batch(x, {"a": np.array([1.0, 2.0, NAN, 0.5])}, return_dict=True)["loss"]
    assert np.isfinite(loss)
    for old, new in zip(before, layer("photo_encoder").trainable_weights, strict=True):
        np.testing.assert_array_equal(old, np.array(new))
    moved = np.abs(np.array(layer("projection").kernel) - kernel).max(axis=1)
    assert (moved[:3] > 0).all() and (moved[3:] == 0).all()
    assert np.isfinite(np.asarray(model(x)["a"])).all()


@pytest.mark.slow_on_jax
def test_stages_and_taps_are_those_of_the_trunk_behind():
    trunk = SharedProjection((4, 4, 2), ResNet(8, width=2))
    inputs = two_tables()
    assert [s.name for s in trunk.stages(trunk.start(inputs))] == [
        *("projection", "stem", "stage_1", "stage_2", "stage_3"),
    ]
    features = trunk(inputs)
    assert features.taps["projection"].shape == (None, 4, 4, 2) and features.source == trunk
    assert features.vector.shape == (None, 8) and features.map.shape == (None, 1, 1, 8)
    assert SharedProjection((4, 4, 2))(inputs).map.shape == (None, 4, 4, 2)
    assert SharedProjection((4, 2))(inputs).sequence.shape == (None, 4, 2)
    assert SharedProjection(7)(keras.Input((3,))).vector.shape == (None, 7)


@pytest.mark.eager
@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "sharing",
    [
        None,
        CrossStitch(),
        pytest.param(MTAN(), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_it_works_with_schemes_and_travels(sharing, tmp_path):
    trunk = SharedProjection(4, MLP(depth=1, width=3, normalization="batch_per_source", sources=2))
    heads = {"a": Regression(at="projection"), "b": Classification(2)}
    if sharing is not None and type(sharing) is MTAN:
        heads["a"] = Regression()
    source = whole_numbers("source")
    model = mtlkeras.build_model(two_tables(source=source), trunk.replace(remat=True), heads, sharing)
    model.compile("adam")
    rng = np.random.default_rng(0)
    x = {
        "weather": np.where([[True], [True], [False], [False]], rng.random((4, 3)), NAN).astype("float32"),
        "voice": np.where([[False], [False], [True], [True]], rng.random((4, 2)), NAN).astype("float32"),
        "source": np.array([0, 0, 1, 1]),
    }
    y = {"a": np.array([1.0, 2.0, NAN, NAN]), "b": np.array([-1, -1, 0, 1])}
    assert np.isfinite(model.train_on_batch(x, y, return_dict=True)["loss"])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for task, answer in model.predict_on_batch(x).items():
        np.testing.assert_allclose(again.predict_on_batch(x)[task], answer, rtol=1e-5, atol=1e-6)


@pytest.mark.slow_on_jax
def test_texts_and_one_model_within():
    encoder = LSTM(units=3, vocabulary_size=9, embedding_units=2)
    inputs = {"ids": whole_numbers("ids", (4,)), "weather": keras.Input(WEATHER, name="weather")}
    x = {"ids": np.array([[3, 4, 0, 0], [0, 0, 0, 0]]), "weather": np.zeros((2, 3), "float32")}
    model, found = outputs_of(SharedProjection(5, encoders={"ids": encoder}), inputs, x)
    np.testing.assert_array_equal(found[1], np.maximum(kernel_of(model)[1], 0.0))
    assert np.abs(found[0] - found[1]).max() > 0
    inner = keras.Input((5,))
    network = keras.Model(inner, keras.layers.Dense(2, name="first")(inner))
    trunk = SharedProjection(5, Staged(network))
    assert not trunk.makes_weights and SharedProjection(5, MLP()).makes_weights
    assert trunk(inputs | {"ids": keras.Input((4,), name="x")}).vector.shape == (None, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SharedProjection(0), "units must be a whole number of at least 1; received 0"),
        (lambda: SharedProjection((1, 2, 3, 4)), "a number or one to three sizes"),
        (lambda: SharedProjection(()), "a number or one to three sizes"),
        (lambda: SharedProjection(4, activation="rellu"), "Did you mean 'relu'"),
        (
            lambda: SharedProjection(4, scale={"voice": 0.0}),
            "SharedProjection: scale of input 'voice' must be",
        ),
        (lambda: SharedProjection(4, mean={"voce": 1.0})(two_tables()), "mean. Did you mean 'voice'"),
        (
            lambda: SharedProjection(4, encoders={"voce": MLP()})(two_tables()),
            "encoders. Did you mean 'voice'",
        ),
        (lambda: SharedProjection(4, present={"voce": "x"})(two_tables()), "present. Did you mean 'voice'"),
        (lambda: SharedProjection(4, present={"voice": "weathr"})(two_tables()), "Did you mean 'weather'"),
        (lambda: SharedProjection(4, present={"voice": ("source",)}), r"such as \('source', 0\)"),
        (lambda: SharedProjection(4, present={"voice": 3}), r"such as \('source', 0\)"),
        (
            lambda: SharedProjection(4, encoders={"a": MLP()}, categories={"a": 3}),
            "input 'a' is in encoders and in categories",
        ),
        (lambda: SharedProjection(4)({"a": keras.Input((2, 2), name="a")}), r"encoders=\{'a': ...\}"),
        (lambda: SharedProjection(4)({"a": whole_numbers("a")}), "needs an entry in categories.*encoders"),
        (
            lambda: SharedProjection(4, present={"a": "a"}, categories={"a": 2})({}),
            "Unknown input 'a' in SharedProjection",
        ),
        (
            lambda: SharedProjection(4, encoders={"ids": LSTM(vocabulary_size=9, pooling=None)}),
            "pooling",
        ),
    ],
)
def test_wrong_fields_and_inputs(make, message):
    with pytest.raises(ValueError, match=message):
        make()
