"""MMoE and PLE against sums by hand, and a second way: experts stacked, mixed by a product of matrices."""

import types

import keras
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

import mtlkeras
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import PLE, MMoE
from mtlkeras.trunks import MLP, BiLSTM, ResNet
from tests.layers.test_gates import one_by_one
from tests.support import EAGERLY

HEADS = {"a": Regression(), "mask": Classification(3)}
X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


def built(trunk, scheme, heads=HEADS, inputs=(4,)):
    """A model whose gates are far from even."""
    model = mtlkeras.build_model(inputs, trunk, heads, sharing=scheme)
    for layer in model.trunk.layers:
        if hasattr(layer, "gate_values"):
            layer.set_weights([3.0 * w + 0.1 for w in layer.get_weights()])
    return model


def read(model, x):
    return {name: keras.ops.convert_to_numpy(value) for name, value in model.trunk(x).items()}


def shares(model, gate, x):
    kernel, bias = model.trunk.get_layer(gate).get_weights()
    return softmax(x @ kernel + bias, axis=1)


def hidden(model, name, x):
    kernel, bias = model.trunk.get_layer(name).get_weights()
    return np.maximum(x @ kernel + bias, 0.0)


def normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)


@pytest.mark.slow_on_jax
def test_mmoe_with_dselect_k_and_normalised_experts():
    scheme = MMoE(experts=3, gate="dselect_k", k=2, gamma=4.0, temperature=0.5, normalize_experts=True)
    model = built(MLP(depth=1, width=5), scheme)
    values = [normalised(hidden(model, f"expert_{i}", X)) for i in (1, 2, 3)]
    for task in HEADS:
        weights = one_by_one(model.trunk.get_layer(f"{task}_gate"), X)
        expected = sum(weights[:, i, None] * values[i] for i in range(3))
        np.testing.assert_allclose(read(model, X)[f"{task}_reads_vector"], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow_on_jax
def test_mmoe_over_a_resnet_mixes_what_its_experts_give_at_taps():
    heads = {"end": Regression(), "inside": Regression(at="stage_1")}
    trunk = ResNet(depth=8, width=2)
    model = built(trunk, MMoE(experts=2, gate_sees="stage_2"), heads, (8, 8, 1))
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 1)).astype("float32")
    experts = [model.trunk.get_layer(f"expert_{i}") for i in (1, 2)]
    given = [{k: keras.ops.convert_to_numpy(v) for k, v in e(x).items()} for e in experts]
    part = keras.Model(experts[0].input, experts[0].get_layer("gate_pool").input)
    seen = keras.ops.convert_to_numpy(part(x)).mean(axis=(1, 2))
    assert seen.shape == (3, 4)  # Of the second stage.
    for task, name in (("end", "vector"), ("inside", "stage_1_vector")):
        weights = shares(model, f"{task}_gate", seen)
        expected = sum(weights[:, i, None] * given[i][name] for i in (0, 1))
        np.testing.assert_allclose(read(model, x)[f"{task}_reads_{name}"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow_on_jax
def test_cgc_mixes_experts_of_the_task_and_shared_ones():
    model = built(MLP(depth=1, width=5), PLE(experts=2, shared_experts=1))
    outputs = read(model, X)
    shared = hidden(model, "expert_1_hidden_1", X)
    for task in HEADS:
        weights = shares(model, f"{task}_gate", X)
        own = [hidden(model, f"{task}_expert_{i}_hidden_1", X) for i in (1, 2)]
        expected = weights[:, 0, None] * own[0] + weights[:, 1, None] * own[1] + weights[:, 2, None] * shared
        np.testing.assert_allclose(outputs[f"{task}_reads_vector"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow_on_jax
def test_ple_of_two_levels_as_products_of_stacked_experts():
    # As peers write it: the experts of a level stacked, the gates a matrix over all of them, in which experts
    # of other tasks have no weight.
    tasks, levels, experts, shared = list(HEADS), 2, 2, 2
    scheme = PLE(experts=experts, shared_experts=shared, levels=levels)
    model = built(MLP(depth=2, width=5), scheme, {**HEADS, "a": Regression(at="hidden_1")})
    everything = built(MLP(depth=2, width=5), scheme)  # In the first the task `a` needs no second level.
    assert not any(layer.name == "a_gate_2" for layer in model.trunk.layers)
    inputs = np.repeat(X[:, None], len(tasks) + 1, axis=1)  # (batch, paths, features)
    count = len(tasks) * experts + shared
    taps = {}
    for level in (1, 2):
        names = [f"{task}_expert_{i + 1}" for task in tasks for i in range(experts)]
        names += [f"expert_{i + 1}" for i in range(shared)]
        path = [*np.repeat(np.arange(len(tasks)), experts), *[len(tasks)] * shared]
        stacked = np.stack(
            [
                hidden(everything, f"{n}_hidden_{level}", inputs[:, p])
                for n, p in zip(names, path, strict=True)
            ],
            axis=1,
        )
        gates = np.zeros((len(X), len(tasks) + 1, count))
        for place, task in enumerate(tasks):
            own = np.r_[place * experts : (place + 1) * experts, len(tasks) * experts : count]
            gates[:, place, own] = shares(everything, f"{task}_gate_{level}", inputs[:, place])
        if level == 1:
            gates[:, -1] = shares(everything, "gate_1", inputs[:, -1])
        inputs = np.einsum("bpe,bef->bpf", gates, stacked)
        taps[level] = inputs
    for place, task in enumerate(tasks):
        found = read(everything, X)[f"{task}_reads_vector"]
        np.testing.assert_allclose(found, taps[2][:, place], rtol=1e-4, atol=1e-5)
    for layer in model.trunk.layers:  # The same weights give the task at the tap the first level's mixture.
        layer.set_weights(everything.trunk.get_layer(layer.name).get_weights())
    np.testing.assert_allclose(read(model, X)["a_reads_hidden_1_vector"], taps[1][:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.slow_on_jax
def test_mmoe_as_one_product_of_stacked_experts():
    model = built(MLP(depth=1, width=5), MMoE(experts=3))
    stacked = np.stack([hidden(model, f"expert_{i}", X) for i in (1, 2, 3)], axis=1)
    gates = np.stack([shares(model, f"{task}_gate", X) for task in HEADS], axis=1)
    mixed = np.matmul(gates, stacked)  # (batch, tasks, experts) times (batch, experts, features)
    outputs = read(model, X)
    for place, task in enumerate(HEADS):
        np.testing.assert_allclose(outputs[f"{task}_reads_vector"], mixed[:, place], rtol=1e-4, atol=1e-5)


@pytest.mark.eager
@pytest.mark.slow_on_jax
def test_entropies_are_means_over_examples_in_logs_and_come_back(tmp_path):
    scheme = MMoE(experts=3, log_gates=True, gate="dselect_k", gamma=8.0, entropy_penalty=0.5)
    model = built(MLP(depth=1, width=5), scheme)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=EAGERLY)
    y = {"a": np.array([1.0, np.nan, 2.0, 1.0, 0.0, 3.0]), "mask": np.array([0, 1, 2, -1, -1, -1])}
    fitted = model.fit(X, y, batch_size=4, verbose=0).history
    found = model.evaluate(X, y, batch_size=4, verbose=0, return_dict=True)
    for task, weights in mtlkeras.analysis.gates(model, X).items():
        expected = entropy(weights, axis=1).mean()
        np.testing.assert_allclose(found[f"{task}_entropy"], expected, rtol=1e-5)
        np.testing.assert_allclose(fitted[f"{task}_entropy"], [expected], rtol=1e-5)
    model.save(tmp_path / "model.keras")
    again = mtlkeras.load_model(tmp_path / "model.keras")
    assert again.evaluate(X, y, batch_size=4, verbose=0, return_dict=True) == pytest.approx(found, rel=1e-5)
    clone = keras.models.clone_model(model)
    clone.compile("sgd", run_eagerly=EAGERLY)
    assert "mask_gate_entropy" in clone.evaluate(X, y, verbose=0, return_dict=True)
    assert set(model.predict(X, verbose=0)) == set(HEADS)


def test_the_penalty_of_selectors_is_in_the_objective():
    scheme = MMoE(experts=4, gate="dselect_k", gamma=8.0, entropy_penalty=0.5, log_gates=True)
    model = built(MLP(depth=1, width=5), scheme)
    model.compile("sgd", run_eagerly=EAGERLY)
    logs = model.evaluate(X, {"a": np.ones(6), "mask": np.arange(6) % 3}, verbose=0, return_dict=True)
    penalty = 0.0
    for task, weights in mtlkeras.analysis.gates(model, X).items():
        selectors = keras.ops.convert_to_numpy(model.trunk.get_layer(task).selectors(X))
        penalty += 0.5 * entropy(selectors, axis=2).sum(axis=1).mean()
        np.testing.assert_allclose(logs[f"{task}_entropy"], entropy(weights, axis=1).mean(), rtol=1e-5)
    assert penalty > 0.1
    np.testing.assert_allclose(logs["loss"], logs["a_loss"] + logs["mask_loss"] + penalty, rtol=1e-5)


@pytest.mark.eager
@pytest.mark.slow_on_jax
def test_ple_goes_along_the_stages_of_texts_with_masks():
    trunk = BiLSTM(units=3, vocabulary_size=9, embedding_units=4, dropout=0.0)
    heads = {"tag": mtlkeras.heads.CRFTagging(("a", "b", "c")), "kind": Classification(2)}
    inputs = keras.Input((None,), dtype="int32")
    model = mtlkeras.build_model(inputs, trunk, heads, sharing=PLE(levels=2, log_gates=True))
    model.compile("sgd", run_eagerly=EAGERLY)
    x = np.array([[3, 4, 5], [6, 7, 0], [0, 0, 0]], "int32")
    y = {"tag": np.array([[0, 1, 2], [1, 2, -1], [-1, -1, -1]]), "kind": np.array([0, 1, -1])}
    wide = {"tag": np.pad(y["tag"], ((0, 0), (0, 2)), constant_values=-1), "kind": y["kind"]}
    one = model.evaluate(x, y, verbose=0, return_dict=True)
    two = model.evaluate(np.pad(x, ((0, 0), (0, 2))), wide, verbose=0, return_dict=True)
    assert one == pytest.approx(two, rel=1e-5)
    assert all(np.isfinite(value) for value in one.values())
    assert {"gate_1_entropy", "tag_gate_1_entropy", "kind_gate_2_entropy"} <= set(one)


MATRIX = np.array([[0.9, 0.1], [-0.2, 1.1]], "float32")


class Stitch(keras.layers.Layer):
    """Weighs all examples alike."""

    def gate_values(self, *inputs):
        return keras.ops.convert_to_tensor(MATRIX)

    def call(self, inputs):
        return inputs


def test_gates_are_shown_and_drawn(tmp_path):
    from mtlkeras._app.report.gates import draw_gates, gate_map

    model = built(MLP(depth=1, width=5), PLE(experts=2))
    gates = mtlkeras.analysis.gates(model, X)
    assert list(gates) == ["a_gate", "mask_gate"]
    np.testing.assert_allclose(gates["a_gate"], shares(model, "a_gate", X), rtol=1e-5)
    assert draw_gates(tmp_path / "gates.png", model, X)
    assert (tmp_path / "gates.png").stat().st_size > 5000
    means, names = gate_map({"even": np.full((4, 3), 1 / 3), "one": np.eye(3)[[0, 0, 1, 2]]})
    np.testing.assert_allclose(means, [[1 / 3] * 3, [0.5, 0.25, 0.25]])
    assert names == ["even (100% even)", "one (0% even)"]
    inputs = keras.Input((4,))
    stitched = keras.Model(inputs, Stitch(name="stitch")(inputs))
    np.testing.assert_array_equal(mtlkeras.analysis.gates(stitched, X)["stitch"], MATRIX)
    assert draw_gates(tmp_path / "stitches.png", types.SimpleNamespace(trunk=stitched, name="stitched"), X)
    plain = mtlkeras.build_model((4,), MLP(), HEADS)
    assert not draw_gates(tmp_path / "none.png", plain, X)
    with pytest.raises(ValueError, match="neither gates nor stitches.*MMoE, PLE, CrossStitch and Sluice"):
        mtlkeras.analysis.gates(plain, X)


def test_k_is_drawn_where_it_counts():
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    assert PLE.tune(hp, gate="dselect_k", experts=2) == PLE(experts=2, gate="dselect_k", k=2)
    assert "k" in hp.values
    assert MMoE.tune(keras_tuner.HyperParameters(), k=1) == MMoE(gate="dselect_k", k=1)
    assert MMoE.tune(keras_tuner.HyperParameters(), gate="dselect_k", experts=1).k == 1


@pytest.mark.parametrize(
    ("scheme", "told"),
    [
        (lambda: MMoE(k=2), "MMoE: k is of gate='dselect_k'; received k=2 with gate='softmax'"),
        (lambda: PLE(gamma=2.0), "PLE: gamma is of gate='dselect_k'"),
        (lambda: MMoE(experts=2, gate="dselect_k", k=3), "MMoE: k must be at most .* 2; received 3"),
        (
            lambda: PLE(gate="dselect_k", k=3),
            "PLE: k must be at most the number of experts that a gate mixes, 2",
        ),
        (lambda: PLE(shared_experts=0), "PLE: shared_experts must be a whole number of at least 1"),
        (lambda: MMoE(gate="dselectk"), "Did you mean 'dselect_k'"),
        (lambda: MMoE(temperature=0.0), "MMoE: temperature must be greater than zero; received 0.0"),
        (lambda: MMoE(gate_dropout=1.0), r"MMoE: gate_dropout must be in \[0, 1\); received 1.0"),
        (lambda: MMoE(gate="dselect_k", entropy_penalty=-1.0), "entropy_penalty must not be negative"),
    ],
)
def test_bad_fields_are_told(scheme, told):
    with pytest.raises(ValueError, match=told):
        scheme()


@pytest.mark.parametrize(
    ("scheme", "told"),
    [
        (PLE(levels=3), r"PLE: levels=3 are more than the stages of MLP\(.*has 2: hidden_1, hidden_2"),
        (MMoE(gate_sees="hiden_1"), "tap 'hiden_1' in gate_sees of MMoE on MLP.*Did you mean 'hidden_1'"),
        (PLE(levels=2, gate_sees="hidden_2"), "gate_sees of PLE on level 1 of MLP.*taps: 'hidden_1'"),
    ],
)
def test_what_the_trunk_has_not_is_told(scheme, told):
    with pytest.raises(ValueError, match=told):
        mtlkeras.build_model((4,), MLP(depth=2, width=5), HEADS, sharing=scheme)


@pytest.mark.parametrize("scheme", [mtlkeras.sharing.MMoE(experts=2), mtlkeras.sharing.PLE()], ids=repr)
def test_gates_do_not_see_gaps_or_unscaled_inputs(scheme):
    x = {"left": np.full((2, 3), np.nan, "float32"), "right": np.ones((2, 3), "float32")}
    inputs = {name: keras.Input((3,), name=name) for name in x}
    trunks = [mtlkeras.trunks.SharedProjection(4, MLP(depth=1, width=4))]
    trunks += [MLP(depth=1, width=4, mean={"left": 1e6}, scale={"left": 1e6})]
    for trunk in trunks:
        model = mtlkeras.build_model(inputs, trunk, HEADS, sharing=scheme)
        assert not any(layer.name == "gate_inputs" for layer in model.trunk.layers)
    model = mtlkeras.build_model(inputs, trunks[0], HEADS, sharing=scheme)
    assert all(np.isfinite(values).all() for values in mtlkeras.analysis.gates(model, x).values())
