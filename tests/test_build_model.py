"""Building models: inputs of every form, foreign trunks, taps, and what is refused."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._model.builder import as_inputs
from mtlkeras.features import Features
from mtlkeras.heads import Classification, Regression
from tests.support import TinyTrunk, examples, tiny_model


def test_outputs_are_a_dict_by_task_named_alike():
    model = tiny_model()
    assert list(model.output) == ["kind", "size", "marks", "grade"]
    assert sorted(model.output_names) == sorted(model.output)
    assert {task: tuple(t.shape) for task, t in model.output.items()} == {
        "kind": (None, 3), "size": (None, 2), "marks": (None, 2), "grade": (None, 4)
    }  # fmt: skip


@pytest.mark.parametrize(
    "inputs, name",
    [((6, 6, 1), "inputs"), (keras.Input((6, 6, 1), name="image"), "image"), ({"photo": (6, 6, 1)}, "photo")],
)
def test_inputs_of_every_form(inputs, name):
    trunk = TinyTrunk()
    if isinstance(inputs, dict):
        body = keras.Input((6, 6, 1), name="photo")
        trunk = keras.Model({"photo": body}, trunk(body).vector)
    model = mtlkeras.build_model(inputs, trunk, {"a": Classification(2)})
    assert [x.name for x in model.inputs] == [name]
    x = np.zeros((2, 6, 6, 1), "float32")
    assert model.predict({name: x} if isinstance(inputs, dict) else x, verbose=0)["a"].shape == (2, 2)


@pytest.mark.parametrize(
    "shape", [8, np.int64(8), (8,), [8], (np.int32(8),), np.array([8]), np.zeros((3, 8)).shape[1:]]
)
def test_shapes_of_every_form(shape):
    assert as_inputs(shape).shape == as_inputs({"a": shape})["a"].shape == (None, 8)
    assert as_inputs((None, np.int64(3))).shape == (None, None, 3)


@pytest.mark.parametrize("shape", [8.5, "8", (8, "x"), True, (0,), -8, (None, -1), None, np.array([1.5])])
def test_shapes_that_are_none_are_refused(shape):
    with pytest.raises(ValueError, match="inputs: expected a keras.Input or a shape .* received"):
        as_inputs(shape)
    with pytest.raises(ValueError, match="input 'a': expected a keras.Input"):
        as_inputs({"a": shape})


def test_heads_on_taps_share_one_pool_and_one_trunk():
    heads = {"end": Classification(2), "low": Classification(3, at="conv"), "low2": Regression(at="conv")}
    model = tiny_model(heads)
    assert set(model.trunk.output) == {"vector", "conv_vector"}
    x, _ = examples(4)
    tap = model.trunk.predict(x, verbose=0)["conv_vector"]
    scores = tap @ np.asarray(model.get_layer("low2_logits").kernel) + np.asarray(
        model.get_layer("low2_logits").bias
    )
    np.testing.assert_allclose(model.predict(x, verbose=0)["low2"], scores, rtol=1e-4, atol=1e-5)


def test_any_functional_model_is_a_trunk_with_its_layers_as_taps():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, name="first")(inputs)
    body = keras.Model(inputs, keras.layers.Conv2D(7, 3, name="second")(x))
    model = mtlkeras.build_model(
        (8, 8, 3), body, {"a": Classification(2), "b": Classification(2, at="first")}
    )
    assert model.get_layer("a_logits").kernel.shape == (7, 2)
    assert model.get_layer("b_logits").kernel.shape == (5, 2)
    assert model.trunk.get_layer("first") is body.get_layer("first")


@pytest.mark.parametrize("with_input", [True, False])
def test_a_sequential_model_is_a_trunk(with_input):
    layers = [keras.Input((6, 6, 1))] * with_input + [keras.layers.Conv2D(5, 3), keras.layers.Flatten()]
    model = mtlkeras.build_model((6, 6, 1), keras.Sequential(layers), {"a": Classification(2)})
    assert model.get_layer("a_logits").kernel.shape == (80, 2)
    assert model.predict(examples(3)[0], verbose=0)["a"].shape == (3, 2)


def test_a_subclassed_model_is_no_trunk():
    class Body(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="is not functional"):
        mtlkeras.build_model((6, 6, 1), Body(), {"a": Classification(2)})


def test_hidden_layers_dropout_and_regularisers_of_a_head():
    head = Classification(2, hidden=(6, 5), dropout=0.5, l1=0.1, l2=0.2)
    model = tiny_model({"a": head})
    kernels = [model.get_layer(n).kernel for n in ("a_hidden_1", "a_hidden_2", "a_logits")]
    assert [tuple(k.shape) for k in kernels] == [(4, 6), (6, 5), (5, 2)]
    expected = sum(0.1 * abs(np.asarray(k)).sum() + 0.2 * (np.asarray(k) ** 2).sum() for k in kernels)
    np.testing.assert_allclose(float(sum(model.losses)), expected, rtol=1e-5)
    assert {n: model.get_layer(n).rate for n in ("a_dropout_1", "a_dropout_2", "a_dropout")} == {
        "a_dropout_1": 0.5, "a_dropout_2": 0.5, "a_dropout": 0.5
    }  # fmt: skip


def test_features_pool_taps_only_where_that_makes_sense():
    features = Features(vector=keras.Input((3,)), taps={"early": keras.Input((3,))}, source="TestTrunk")
    assert features.get("vector", "early").shape == (None, 3)
    with pytest.raises(ValueError, match="asks for a map at tap 'early', where TestTrunk gives a vector"):
        features.get("map", "early")
    with pytest.raises(
        ValueError, match=r"asks for a sequence, which TestTrunk does not give \(it gives: vector\)"
    ):
        features.get("sequence")


def test_plain_keras_tools_work_on_the_model():
    model = tiny_model()
    lines = []
    model.summary(print_fn=lines.append)
    assert "trunk" in "\n".join(map(str, lines))
    assert model.get_layer("kind").head == model.heads["kind"]
    part = keras.Model(model.input, model.output["kind"])
    assert part.predict(examples(3)[0], verbose=0).shape == (3, 3)
    assert keras.utils.model_to_dot(model) is not None


def test_class_of_a_trunk_instead_of_a_trunk_is_told():
    with pytest.raises(ValueError, match=r"such as TinyTrunk\(\); received the class itself"):
        mtlkeras.build_model((6, 6, 1), TinyTrunk, {"a": Classification(2)})


def test_a_text_backbone_with_the_names_of_keras_hub_is_a_trunk():
    names = ("token_ids", "padding_mask")
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    x = keras.layers.Embedding(9, 4)(inputs["token_ids"])
    x *= keras.ops.cast(inputs["padding_mask"], "float32")[..., None]
    pooled = keras.layers.Dense(3)(x[:, 0])
    backbone = keras.Model(inputs, {"sequence_output": x, "pooled_output": pooled})
    heads = {"y": Classification(2), "tag": mtlkeras.heads.Tagging(("a", "b"))}
    model = mtlkeras.build_model(inputs, backbone, heads)
    ids = np.array([[3, 4, 5], [6, 0, 0]])
    outputs = model.predict({"token_ids": ids, "padding_mask": (ids > 0).astype("int32")}, verbose=0)
    assert outputs["y"].shape == (2, 2)
    np.testing.assert_array_equal(outputs["tag"].sum(-1) > 0, ids > 0)
