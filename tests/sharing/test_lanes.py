"""A trunk a task: stitches, sluices, ties and branches against NumPy, and their errors."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import CAGrad
from mtlkeras.heads import Classification, Regression
from mtlkeras.layers import CrossStitchUnit, LayerMixture
from mtlkeras.sharing import Branching, CrossStitch, Sluice, SoftSharing
from mtlkeras.sharing._tied import distance_to_mean, trace_norm
from mtlkeras.trunks import BERT, DPCNN, LSTM, MLP, ResNet, Staged
from tests.support import EAGERLY, TinyStages

HEADS = {"a": Regression(), "a_hidden": Classification(3), "end": Regression()}
TWO_LAYERS = MLP(depth=2, width=4)
RNG = np.random.default_rng(0)
IDS = keras.Input((None,), dtype="int32", name="ids")
X = RNG.normal(size=(5, 3)).astype("float32")


def built(sharing, trunk=TWO_LAYERS, heads=HEADS, inputs=(3,)):
    model = mtlkeras.build_model(inputs, trunk, heads, sharing=sharing)
    for variable in model.trunk.weights:  # Biases that are not zero, stitches that are not alike.
        variable.assign(variable + RNG.normal(scale=0.3, size=variable.shape))
    return model


def reads(model, x=X):
    """What each task reads at the end, as an array of shape `(tasks, batch, features)`."""
    outputs = keras.tree.map_structure(keras.ops.convert_to_numpy, model.trunk(x))
    return np.stack([outputs[f"{task}_reads_vector"] for task in model.heads])


def dense(part, x):
    kernel, bias = part.get_weights()
    return np.maximum(x @ kernel + bias, 0.0)


def stages(model, x, mixed):
    """Outputs of the stages of all lanes, mixed by a function of the stage's unit and the tensors."""
    tensors, found = [x] * len(model.heads), []
    for name in ("hidden_1", "hidden_2"):
        parts = [model.trunk.get_layer(f"{task}_{name}") for task in model.heads]
        tensors = [dense(part, value) for part, value in zip(parts, tensors, strict=True)]
        tensors = list(mixed(model.trunk.get_layer(f"{name}_stitch"), np.stack(tensors)))
        found.append(tensors)
    return np.asarray(found)


@pytest.mark.parametrize("per_channel", [False, True])
def test_cross_stitch_is_the_sum_of_the_paper(per_channel):
    model = built(CrossStitch(per_channel=per_channel))

    def one_by_one(unit, x):
        alpha = unit.get_weights()[0]
        return [sum(alpha[k, j] * x[j] for j in range(len(x))) for k in range(len(x))]

    def at_once(unit, x):  # A bias-free dense layer over the tasks, as in AdaTT's code.
        return np.einsum("kjc,jbc->kbc" if per_channel else "kj,jbc->kbc", unit.get_weights()[0], x)

    for mixed in (one_by_one, at_once):
        np.testing.assert_allclose(reads(model), stages(model, X, mixed)[-1], rtol=1e-4, atol=1e-5)
    unit = model.trunk.get_layer("hidden_2_stitch")
    alpha = unit.get_weights()[0]
    np.testing.assert_allclose(unit.gate_values(X), alpha.mean(-1) if per_channel else alpha, rtol=1e-6)


def test_a_sluice_mixes_subspaces_and_layers():
    model = built(Sluice(subspaces=2))

    def mixed(unit, x):
        tasks, batch, channels = x.shape
        parts = x.reshape(tasks, batch, 2, channels // 2).transpose(0, 2, 1, 3).reshape(2 * tasks, batch, -1)
        parts = np.tensordot(unit.get_weights()[0], parts, 1)
        return parts.reshape(tasks, 2, batch, -1).transpose(0, 2, 1, 3).reshape(x.shape)

    layers = stages(model, X, mixed)
    betas = np.stack([model.trunk.get_layer(f"{task}_beta").gate_values() for task in HEADS])
    np.testing.assert_allclose(reads(model), np.einsum("kt,tkbc->kbc", betas, layers), rtol=1e-4, atol=1e-5)


def test_stitches_begin_with_rows_that_sum_to_one():
    model = mtlkeras.build_model((3,), TWO_LAYERS, HEADS, sharing=CrossStitch(stages=("hidden_2",)))
    matrix = model.trunk.get_layer("hidden_2_stitch").gate_values()
    np.testing.assert_allclose(matrix, [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    assert "hidden_1_stitch" not in {layer.name for layer in model.trunk.layers}
    alone = mtlkeras.build_model((3,), TWO_LAYERS, {"y": Regression()}, sharing=Sluice(subspaces=1))
    np.testing.assert_array_equal(alone.trunk.get_layer("hidden_1_stitch").gate_values(), [[1.0]])
    np.testing.assert_allclose(alone.trunk.get_layer("y_beta").gate_values(), [0.1, 0.9], rtol=1e-6)
    lanes = [model.trunk.get_layer(f"{task}_hidden_1").get_weights()[0] for task in ("a", "end")]
    assert np.abs(lanes[0] - lanes[1]).max() > 1e-3


def test_where_maps_or_texts_shrink_a_sluice_has_no_mixture_of_layers():
    model = mtlkeras.build_model((6, 6, 1), TinyStages(), HEADS, sharing=Sluice())
    assert not [layer for layer in model.trunk.layers if isinstance(layer, LayerMixture)]
    trunk = DPCNN(width=4, depth=3, embedding_units=4, vocabulary_size=9)
    model = mtlkeras.build_model(IDS, trunk, {"y": Regression()}, sharing=Sluice())  # Each block halves.
    assert not [layer for layer in model.trunk.layers if isinstance(layer, LayerMixture)]
    trunk = LSTM(units=4, depth=2, embedding_units=4, vocabulary_size=9)
    model = mtlkeras.build_model(IDS, trunk, {"y": Regression()}, sharing=Sluice())
    assert model.trunk.get_layer("y_beta").beta.shape == (3,)


def test_units_compute_in_half_precision_and_keep_their_weights_whole():
    unit = CrossStitchUnit(dtype="mixed_float16")
    outputs = unit([np.ones((2, 3, 4), "float32"), np.zeros((2, 3, 4), "float32")])
    assert keras.backend.standardize_dtype(outputs[0].dtype) == "float16"
    assert unit.alpha.dtype == "float32"
    with pytest.raises(ValueError, match=r"mixes tensors of one shape; received those of shapes .3,., .4,."):
        CrossStitchUnit()([np.ones((2, 3)), np.ones((2, 4))])
    with pytest.raises(ValueError, match="cuts 3 channels into 2 subspaces"):
        CrossStitchUnit(subspaces=2)([np.ones((2, 3))] * 2)


def gradient_of(function, values):
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(lambda v: function(list(v)))(values))
    import tensorflow as tf

    rows = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(rows)
        value = function(tf.unstack(rows))
    return tape.gradient(value, rows).numpy()


def numeric_gradient(function, values, step=1e-3):
    found = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        moved = [values.astype("float64").copy() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        found[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return found


def nuclear(values):
    return np.linalg.svd(values.reshape(len(values), -1), compute_uv=False).sum()


def spread(values):
    return ((values - values.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("penalty, expected", [(trace_norm, nuclear), (distance_to_mean, spread)])
def test_penalties_are_those_of_numpy(penalty, expected):
    values = RNG.normal(size=(3, 4, 2)).astype("float32")
    np.testing.assert_allclose(penalty(list(keras.ops.unstack(values))), expected(values), rtol=1e-5)
    np.testing.assert_allclose(
        gradient_of(penalty, values), numeric_gradient(expected, values), rtol=1e-3, atol=1e-4
    )


def test_the_trace_norm_has_a_gradient_where_singular_values_are_equal_or_zero():
    one = RNG.normal(size=(4, 2)).astype("float32")
    alike = np.stack([one, one, one])  # Of rank 1: its gradient keeps it there.
    direction = one / np.linalg.norm(one) / np.sqrt(3)
    np.testing.assert_allclose(gradient_of(trace_norm, alike), [direction] * 3, rtol=1e-3, atol=1e-4)
    equal = np.eye(3, 6, dtype="float32").reshape(3, 3, 2)
    np.testing.assert_allclose(gradient_of(trace_norm, equal), equal, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        gradient_of(trace_norm, np.zeros((2, 3, 2), "float32")), np.zeros((2, 3, 2))
    )


@pytest.mark.eager
@pytest.mark.parametrize("penalty", [pytest.param("l2", marks=pytest.mark.slow_on_jax), "trace_norm"])
def test_the_loss_has_the_penalty_of_trunks_that_begin_alike(penalty):
    sharing = SoftSharing(penalty, strength=0.5)
    model = mtlkeras.build_model((3,), MLP(depth=2, width=4, normalization="batch"), HEADS, sharing=sharing)
    lanes = [model.trunk.get_layer(f"{task}_trunk") for task in HEADS]
    for one, *others in zip(*(lane.get_weights() for lane in lanes), strict=True):
        for other in others:
            np.testing.assert_array_equal(one, other)
    for variable in model.trunk.trainable_weights:
        variable.assign(variable + RNG.normal(scale=0.3, size=variable.shape))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=EAGERLY)
    stacked = [
        np.stack(w) for w in zip(*([np.array(v) for v in t.trainable_weights] for t in lanes), strict=True)
    ]
    expected = sum(
        spread(w) if penalty == "l2" else nuclear(w) for w in stacked if penalty == "l2" or w.ndim > 2
    )
    y = {"a": np.ones(5), "a_hidden": np.array([0, 1, 2, -1, 0]), "end": np.full(5, np.nan)}
    for logs in (
        model.test_on_batch(X, y, return_dict=True),
        model.train_on_batch(X, y, return_dict=True),
    ):
        rest = logs["loss"] - sum(
            logs[f"{task}_loss"] for task in HEADS if not np.isnan(logs[f"{task}_loss"])
        )
        np.testing.assert_allclose(rest, 0.5 * expected, rtol=1e-4)
    model.trunk.trainable = False
    assert float(model.trunk.penalty()) == 0.0


def test_the_penalty_draws_a_task_without_labels_along():
    model = built(SoftSharing("l2", strength=0.1), heads={"a": Regression(), "b": Regression()})
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
    lanes = [model.trunk.get_layer(f"{task}_trunk").get_layer("hidden_1").kernel for task in "ab"]
    one, other = (np.array(kernel) for kernel in lanes)
    model.train_on_batch(X, {"a": np.ones(5)})
    np.testing.assert_allclose(lanes[1], other + 0.1 * 0.1 * (one - other), rtol=1e-4, atol=1e-6)


def test_branches_share_up_to_the_split():
    groups = (("a", "end"), ("a_hidden",))
    model = built(Branching(at="hidden_1", groups=groups))
    first, *branches = (
        model.trunk.get_layer(n) for n in ("hidden_1", "branch_1_hidden_2", "branch_2_hidden_2")
    )
    outputs = [dense(branch, dense(first, X)) for branch in branches]
    np.testing.assert_allclose(reads(model), [outputs[0], outputs[1], outputs[0]], rtol=1e-4, atol=1e-5)
    counts = [layer.count_params() for layer in (first, *branches)]
    assert counts == [16, 20, 20] and model.trunk.count_params() == sum(counts)
    apart = mtlkeras.build_model((3,), TWO_LAYERS, HEADS, sharing=Branching(groups=groups))
    assert apart.trunk.count_params() == 2 * (16 + 20)
    before = [layer.get_weights()[0] for layer in (first, *branches)]
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
    model.train_on_batch(X, {"a_hidden": np.arange(5) % 3})
    changed = [
        (layer.get_weights()[0] != w).any() for layer, w in zip((first, *branches), before, strict=True)
    ]
    assert changed == [True, False, True]


def test_balancers_have_parameters_where_tasks_meet():
    model = built(Branching(groups=(("a", "end"), ("a_hidden",))))
    model.compile("sgd", balancer=CAGrad(at="parameters"))
    for scheme in (Branching(), SoftSharing()):
        with pytest.raises(ValueError, match="several tasks share; this model has none"):
            built(scheme).compile("sgd", balancer=CAGrad(at="parameters"))
    with pytest.raises(ValueError, match="at='parameters'"):
        model.compile("sgd", balancer=CAGrad())


TEXTS = np.array([[3, 4, 5], [6, 7, 0]], "int32")
SEQUENCES = {"tag": mtlkeras.heads.CRFTagging(("a", "b", "c")), "kind": Classification(2)}


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "sharing",
    [CrossStitch(), Sluice(), SoftSharing("trace_norm"), Branching(at="embedding")],
    ids=lambda s: type(s).__name__,
)
def test_texts_are_read_under_their_mask(sharing):
    trunk = LSTM(units=4, vocabulary_size=9, embedding_units=4, dropout=0.0)
    model = mtlkeras.build_model(IDS, trunk, SEQUENCES, sharing=sharing)
    model.compile("sgd", run_eagerly=EAGERLY)
    y = {"tag": np.array([[0, 1, 2], [1, 2, -1]]), "kind": np.array([0, 1])}
    wide = np.pad(TEXTS, ((0, 0), (0, 2)))
    more = {**y, "tag": np.pad(y["tag"], ((0, 0), (0, 2)), constant_values=-1)}
    one, two = (model.test_on_batch(x, labels, return_dict=True) for x, labels in ((TEXTS, y), (wide, more)))
    for task in y:
        np.testing.assert_allclose(one[f"{task}_loss"], two[f"{task}_loss"], rtol=1e-5)


SEGMENTS = MLP(depth=2, width=4, dropout=0.3, l2=0.1, normalization="batch")


@pytest.mark.eager
@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    "sharing",
    [CrossStitch(stages=("hidden_2",)), SoftSharing("l2", strength=0.1), Branching(at="hidden_1")],
    ids=lambda s: type(s).__name__,
)
def test_activations_that_are_computed_again_are_the_same(sharing):
    found = []
    for remat in (False, True):
        keras.utils.set_random_seed(0)
        model = mtlkeras.build_model((3,), SEGMENTS.replace(remat=remat), HEADS, sharing=sharing)
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=EAGERLY)
        y = {"a": np.ones(5), "a_hidden": np.arange(5) % 3, "end": np.zeros(5)}
        losses = [model.train_on_batch(X, y) for _ in range(2)]
        found.append((losses, model.get_weights()))
    (losses, weights), (others, again) = found
    np.testing.assert_allclose(others, losses, rtol=1e-5)
    for old, new in zip(weights, again, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)
    soft = isinstance(sharing, SoftSharing)
    model = model.trunk.get_layer("a_trunk") if soft else model.trunk
    assert len(model.segments.segments) >= 2


@pytest.mark.slow
@pytest.mark.eager
@pytest.mark.parametrize(
    "trunk", [ResNet(depth=8, width=2), BERT(depth=1, width=4, heads=2, vocabulary_size=9)]
)
@pytest.mark.parametrize("sharing", [CrossStitch(per_channel=True), Sluice(), SoftSharing()], ids=repr)
def test_lanes_without_stitches_are_the_trunk_alone(sharing, trunk):
    inputs = IDS if isinstance(trunk, BERT) else keras.Input((8, 8, 1))
    x = TEXTS if isinstance(trunk, BERT) else RNG.random((2, 8, 8, 1), "float32")
    heads = {"a": Regression(), "b": Regression()}
    model = mtlkeras.build_model(inputs, trunk, heads, sharing=sharing)
    for layer in model.trunk.layers:
        if isinstance(layer, CrossStitchUnit):
            layer.set_weights(
                [np.eye(len(w)) if w.ndim == 2 else w * 0 + np.eye(2)[..., None] for w in layer.get_weights()]
            )
        if isinstance(layer, LayerMixture):
            layer.set_weights([np.eye(len(w))[-1] for w in layer.get_weights()])
    alone = mtlkeras.build_model(inputs, trunk, {"a": Regression()})
    for number, task in enumerate(heads):
        own = [layer for layer in model.trunk.layers if layer.name.startswith(f"{task}_")]
        parts = [inner for part in own if isinstance(part, keras.Model) for inner in part.layers]
        for layer in parts:
            if layer.weights:
                alone.trunk.get_layer(layer.name).set_weights(layer.get_weights())
        np.testing.assert_allclose(
            reads(model, x)[number], keras.ops.convert_to_numpy(alone.trunk(x)), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("scheme", [CrossStitch(), Sluice(), SoftSharing(), Branching()], ids=repr)
def test_one_model_has_no_copies(scheme):
    body = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="first"), keras.layers.Dense(2)])
    for trunk in (body, Staged(body, cuts=("first",))):
        with pytest.raises(ValueError, match=f"{type(scheme).__name__}: its trunks are several of one spec"):
            mtlkeras.build_model((3,), trunk, HEADS, sharing=scheme)
