"""Every trunk is a start, stages and an end: run by hand, with something between, or side by side."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.trunks import (
    BERT,
    DPCNN,
    LSTM,
    MLP,
    VGG,
    AlexNet,
    BiLSTM,
    CNNAttention,
    Flow,
    GoogLeNet,
    Pretrained,
    ResNet,
    Stage,
    Staged,
    Trunk,
    apart,
)
from tests.support import TinyTrunk

TEXT = {"vocabulary_size": 9, "embedding_units": 4}
BLOCKS = [f"block_{n}" for n in range(1, 6)]
STAGES = {
    AlexNet(width=4, fc_units=4): [*(f"conv_{n}" for n in range(1, 6)), "fc_1", "fc_2"],
    VGG(depth=11, width=2, fc_units=4): [*BLOCKS, "fc_1", "fc_2"],
    GoogLeNet(width=4): [
        "stem",
        *(f"inception_{n}" for n in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")),
    ],
    ResNet(depth=8, width=2): ["stem", "stage_1", "stage_2", "stage_3"],
    MLP(depth=2, width=4, categories={"colour": ("red", "green")}): ["hidden_1", "hidden_2"],
    LSTM(units=3, depth=2, **TEXT): ["embedding", "lstm_1", "lstm_2"],
    BiLSTM(units=3, **TEXT): ["embedding", "lstm_1"],
    CNNAttention(width=4, heads=2, **TEXT): ["embedding", "conv_1", "conv_2", "attention_1"],
    DPCNN(width=4, depth=2, **TEXT): ["embedding", "region", "block_1", "block_2"],
    BERT(depth=2, width=4, heads=2, vocabulary_size=9): ["embedding", "block_1", "block_2"],
    Pretrained("MobileNet", options={"alpha": 0.25}): [
        *(f"conv_pw_{n}_relu" for n in (1, 3, 5, 11)),
        "conv_pw_13_relu",
    ],
}
# What takes seconds: the others have tensors beside the flow, and none, and several inputs.
SEVERAL = (GoogLeNet, Pretrained, ResNet, LSTM, BiLSTM, BERT, CNNAttention)


def trunks(mark, *kinds):
    """The trunks, those of some kinds marked."""
    return [
        pytest.param(t, id=type(t).__name__, marks=[mark] if isinstance(t, kinds) else []) for t in STAGES
    ]


def inputs_of(trunk):
    if hasattr(trunk, "vocabulary_size"):
        return keras.Input((6,), dtype="int32", name="ids")
    if isinstance(trunk, MLP):
        colour = keras.Input((), dtype="int32", name="colour")
        return {"age": keras.Input((), name="age"), "colour": colour}
    return keras.Input((32, 32, 3) if isinstance(trunk, Pretrained) else (8, 8, 1), name="image")


def examples_of(inputs, count=3):
    rng = np.random.default_rng(0)

    def one(x):
        shape = (count, *x.shape[1:])
        return rng.integers(1, 2, shape) if x.dtype == "int32" else rng.random(shape, "float32")

    return keras.tree.map_structure(one, inputs)


def call(model, x):
    """Returns a model's answers: TensorFlow is quicker without a graph, JAX with one."""
    outputs = model(x) if keras.backend.backend() == "tensorflow" else model.predict_on_batch(x)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)


def end_of(features):
    return features.vector if features.vector is not None else features.sequence


def graph_of(inputs, features):
    """All that a trunk makes, but for the numbers that Keras counts on in names of its own."""
    tensors = {"vector": features.vector, "map": features.map, "sequence": features.sequence}
    outputs = {name: x for name, x in {**tensors, **features.taps}.items() if x is not None}
    model = keras.Model(inputs, outputs)
    return list(features.taps), [(w.path, tuple(w.shape)) for w in model.weights], list(outputs)


@pytest.mark.parametrize("trunk", trunks(pytest.mark.slow_on_jax, *SEVERAL, AlexNet, VGG))
def test_stages_by_hand_are_the_trunk(trunk):
    inputs = inputs_of(trunk)
    flow = trunk.start(inputs)
    stages = list(trunk.stages(flow))
    assert [stage.name for stage in stages] == STAGES[trunk]
    for stage in stages:
        flow = stage(flow)
        assert flow.taps[stage.name] is flow.x
    by_hand = graph_of(inputs, trunk.end(flow))
    assert by_hand == graph_of(inputs, trunk(inputs))
    taps = set(by_hand[0])
    assert set(STAGES[trunk]) - taps == ({"block_2"} if isinstance(trunk, DPCNN) else set())


@pytest.mark.parametrize("trunk", trunks(pytest.mark.slow, *SEVERAL))
def test_what_follows_sees_what_is_put_between_stages(trunk):
    inputs = inputs_of(trunk)
    flow = trunk.start(inputs)
    first, *others = trunk.stages(flow)
    flow = first(flow)
    flow = flow.to(keras.layers.Rescaling(0.0, name="nothing")(flow.x))
    for stage in others:
        flow = stage(flow)
    model = keras.Model(inputs, end_of(trunk.end(flow)))
    outputs = call(model, examples_of(inputs))
    np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[:1], outputs.shape))


@pytest.mark.parametrize("trunk", trunks(pytest.mark.slow, *SEVERAL, AlexNet))
def test_two_run_in_lockstep_within_one_model(trunk):
    inputs = inputs_of(trunk)
    start = trunk.start(inputs)
    flows = [start, start]
    for pair in zip(trunk.stages(start), trunk.stages(start), strict=True):
        flows = [s.apart(flow, f"{n}_{s.name}") for n, s, flow in zip("ab", pair, flows, strict=True)]
        mean = keras.layers.Average(name=f"{pair[0].name}_mean")([flow.x for flow in flows])
        flows = [flow.to(mean) for flow in flows]
    ends = [apart(trunk.end, flow, f"{name}_end") for name, flow in zip("ab", flows, strict=True)]
    both = keras.Model(inputs, [end_of(end) for end in ends])
    names = {layer.name for layer in both.layers}
    assert {f"{n}_{stage}" for n in "ab" for stage in STAGES[trunk]} <= names
    one = keras.Model(inputs, end_of(trunk(inputs)))
    assert both.count_params() == 2 * one.count_params()
    for name in (name for name in names if name.startswith("b_")):
        part = both.get_layer(f"a_{name[2:]}")
        both.get_layer(name).set_weights(part.get_weights())
        for layer in part.layers:
            if layer.weights:
                one.get_layer(layer.name).set_weights(layer.get_weights())
    x = examples_of(inputs)
    expected = call(one, x)
    for outputs in call(both, x):
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)


def test_parts_of_a_spec_fit_side_by_side():
    trunk, x = ResNet(depth=8, width=2), keras.Input((8, 8, 1))
    one, two = (apart(trunk, x, name) for name in ("one", "two"))
    assert list(one.taps) == list(trunk(x).taps)
    model = keras.Model(x, [one.vector, two.taps["stage_1"]])
    assert [layer.name for layer in model.layers[1:]] == ["one", "two"]


def test_a_part_that_makes_nothing_is_left_out():
    flow = Flow(keras.Input((3,)))
    assert Stage("same", lambda flow: flow).apart(flow).x is flow.x


def test_a_trunk_of_ones_own_has_what_it_needs_to_define():
    @mtlkeras.spec
    class Half(Trunk):
        def stages(self, flow):
            return [Stage("wrong", lambda flow: flow.x)]

    x = keras.Input((6, 6, 1))
    with pytest.raises(TypeError, match="Stage 'wrong': its function must return a Flow"):
        Half()(x)
    with pytest.raises(NotImplementedError, match=r"Half has stages, so it must define end\(flow\) too"):
        Half().end(Flow(x))
    with pytest.raises(NotImplementedError, match=r"TinyTrunk has no stages: .*Stage.*Staged"):
        TinyTrunk().stages(TinyTrunk().start(x))
    assert TinyTrunk()(x).cuts == ()
    with pytest.raises(ValueError, match="trunk: TinyTrunk has no stages, so remat=True finds nothing"):
        mtlkeras.build_model((6, 6, 1), TinyTrunk(remat=True), {"y": mtlkeras.heads.Regression()})


def network():
    x = keras.Input((6, 6, 1), name="image")
    first = keras.layers.Conv2D(2, 3, padding="same", name="first")(x)
    second = keras.layers.Conv2D(2, 3, padding="same", name="second")(first)
    total = keras.layers.Add(name="total")([first, second])
    return keras.Model(x, keras.layers.Conv2D(3, 3, name="last")(total), name="network")


def test_a_functional_model_is_cut_at_layers():
    model = network()
    trunk = Staged(model, cuts=("first", "total"))
    flow = trunk.start(model.input)
    assert [stage.name for stage in trunk.stages(flow)] == ["first", "total", "last"]
    features = trunk(model.input)
    assert features.map is model.output and list(features.taps) == ["first", "second", "total", "last"]
    assert Staged(model, cuts=["last"]).stages(flow)[-1].name == "last"
    heads = {"y": mtlkeras.heads.Regression(), "z": mtlkeras.heads.Regression(at="total")}
    built = mtlkeras.build_model((6, 6, 1), trunk, heads)
    assert built.trunk.get_layer("first").kernel is model.get_layer("first").kernel
    bare = mtlkeras.build_model((6, 6, 1), model, heads)
    assert [w.path for w in built.weights] == [w.path for w in bare.weights]


def test_stages_of_a_model_are_applied_anew_where_something_is_put_between():
    model = network()
    trunk, x = Staged(model, cuts=("first", "total")), keras.Input((6, 6, 1))
    flow = trunk.start(x)
    for stage in trunk.stages(flow):
        flow = stage.apart(flow, f"{stage.name}_part")
        flow = flow.to(keras.layers.Rescaling(1.0)(flow.x))
    pictures = examples_of(x)
    whole = keras.Model(x, trunk.end(flow).map)
    np.testing.assert_allclose(call(whole, pictures), call(model, pictures), rtol=1e-5)
    assert len(whole.weights) == len(model.weights)


def test_ids_and_masks_pass_beside_a_cut():
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.layers.Embedding(9, 4, mask_zero=True, name="embedding")(ids)
    for name in ("one", "two"):
        x = keras.layers.LSTM(3, return_sequences=True, name=name)(x)
    model = keras.Model(ids, {"sequence": x, "mask": ids > 0}, name="text")
    trunk = Staged(model, cuts=("embedding", "one"))
    given = keras.Input((None,), dtype="int32")
    flow = trunk.start(given)
    for stage in trunk.stages(flow):
        flow = stage(flow)
    features = trunk.end(flow)
    again = keras.Model(given, {"sequence": features.sequence, "mask": features.mask})
    tokens = np.array([[1, 2, 0], [3, 0, 0]])
    expected = call(model, tokens)
    for name, outputs in call(again, tokens).items():
        np.testing.assert_allclose(outputs, expected[name], rtol=1e-6)


def test_cuts_that_do_not_fit_are_refused():
    model = network()
    with pytest.raises(ValueError, match="Unknown layer 'totl' in Staged: cuts.*Did you mean 'total'"):
        Staged(model, cuts=("totl",))
    with pytest.raises(ValueError, match="behind 'second'.*'first'.*shortcut.*behind: first, total, last"):
        Staged(model, cuts=("second",))
    with pytest.raises(ValueError, match="order of the graph.*'first' does not come after 'total'"):
        Staged(model, cuts=("total", "first"))
    with pytest.raises(ValueError, match=r"Staged: model: the model .* is not functional"):
        Staged(keras.Sequential([keras.layers.Dense(2)]))
    x = keras.Input((3,))
    twice = keras.layers.Dense(3, name="twice")
    with pytest.raises(ValueError, match="'twice' is called 2 times"):
        Staged(keras.Model(x, twice(twice(x))), cuts=("twice",))
    with pytest.raises(ValueError, match="takes 1 inputs; received 2"):
        Staged(model).start([x, x])
    with pytest.raises(ValueError, match="MMoE: .* received Staged.*one only"):
        mtlkeras.build_model(
            (6, 6, 1), Staged(model), {"y": mtlkeras.heads.Regression()}, mtlkeras.sharing.MMoE(2)
        )


def test_a_sequential_model_has_stages_too():
    layers = [keras.layers.Dense(n, name=f"dense_{n}") for n in (4, 3)]
    trunk = Staged(keras.Sequential([keras.Input((5,)), *layers]), cuts=("dense_4",))
    assert trunk(keras.Input((5,))).vector.shape == (None, 3)
