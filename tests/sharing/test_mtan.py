"""Attention masks of the tasks against NumPy with the same weights, and what does not fit."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.heads import Classification, CRFTagging, Regression
from mtlkeras.layers import AdaptivePooling, FeatureAttention
from mtlkeras.sharing import MTAN
from mtlkeras.trunks import DPCNN, MLP, BiLSTM, Pretrained, Staged
from tests.support import EAGERLY, TinyStages, sigmoid

HEADS = {"a": Regression(), "mask": Regression()}
RNG = np.random.default_rng(0)


def shaken(model):
    """Gives every weight a value that is not the one it begins with; variances stay positive."""
    for weight in model.weights:
        weight.assign(np.abs(RNG.normal(size=weight.shape)) if "variance" in weight.path else weight + 0.3)
    return model


def values(tensors):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tensors)


def layer_norm(x, layer):
    gamma, beta = layer.get_weights()
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def batch_norm(x, layer):
    gamma, beta, mean, variance = layer.get_weights()
    return (x - mean) / np.sqrt(variance + layer.epsilon) * gamma + beta


def masked(p, seen, layer, norm):
    """Returns a_j * p_j of the paper."""
    x = np.maximum(norm(seen @ values(layer.hidden.kernel), layer.hidden_norm), 0)
    return p * sigmoid(norm(x @ values(layer.scores.kernel), layer.scores_norm))


def convolved(x, layer):
    """Returns a 3x3 convolution with padding that keeps the size."""
    kernel, (height, width) = values(layer.kernel), x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


@pytest.mark.eager
def test_vectors_are_masked_as_in_the_paper():
    model = shaken(mtlkeras.build_model((4,), MLP(depth=2, width=6), HEADS, sharing=MTAN(reduction=2)))
    trunk = model.trunk
    x = RNG.normal(size=(5, 4)).astype("float32")
    outputs = values(trunk(x))
    layer = trunk.get_layer
    one = np.maximum(x @ values(layer("hidden_1").kernel) + values(layer("hidden_1").bias), 0)
    two = np.maximum(one @ values(layer("hidden_2").kernel) + values(layer("hidden_2").bias), 0)
    for task in HEADS:
        first = masked(one, one, layer(f"{task}_hidden_1_attention"), layer_norm)
        carried = first @ values(layer("hidden_2_carried").kernel)
        carried = np.maximum(layer_norm(carried, layer("hidden_2_carried_norm")), 0)
        seen = np.concatenate([two, carried], axis=-1)
        last = masked(two, seen, layer(f"{task}_hidden_2_attention"), layer_norm)
        np.testing.assert_allclose(outputs[f"{task}_reads_vector"], last, rtol=2e-4, atol=1e-5)


@pytest.mark.eager
def test_maps_are_masked_and_carried_to_the_next_size():
    heads = {"a": Regression(), "mask": Regression(at="conv")}
    model = shaken(mtlkeras.build_model((6, 6, 1), TinyStages(), heads, sharing=MTAN(reduction=1)))
    trunk, layer = model.trunk, model.trunk.get_layer
    inside = keras.Model(trunk.input, [layer("conv").output, layer("last").output, trunk.output])
    one, two, outputs = values(inside(RNG.normal(size=(2, 6, 6, 1)).astype("float32")))
    assert two.shape == (2, 3, 3, 4)
    first = masked(one, one, layer("a_conv_attention"), batch_norm)
    carried = np.maximum(batch_norm(convolved(first, layer("last_carried")), layer("last_carried_norm")), 0)
    carried = carried.reshape(2, 3, 2, 3, 2, 4).mean((2, 4))
    last = masked(two, np.concatenate([two, carried], -1), layer("a_last_attention"), batch_norm)
    np.testing.assert_allclose(outputs["a_reads_vector"], last.mean((1, 2)), rtol=2e-4, atol=1e-5)
    tap = masked(one, one, layer("mask_conv_attention"), batch_norm)
    np.testing.assert_allclose(outputs["mask_reads_conv_vector"], tap.mean((1, 2)), rtol=2e-4, atol=1e-5)


@pytest.mark.eager
@pytest.mark.parametrize(
    ("trunk", "normalization"),
    [
        pytest.param(BiLSTM, "batch", id="BiLSTM"),
        pytest.param(DPCNN, "auto", id="DPCNN", marks=pytest.mark.slow_on_jax),
    ],
)
def test_padding_changes_nothing(trunk, normalization):
    small = {"units": 3} if trunk is BiLSTM else {"width": 4, "depth": 3}
    tagging = {"tag": CRFTagging(("O", "B-x", "I-x"), at=None if trunk is BiLSTM else "block_1")}
    model = mtlkeras.build_model(
        keras.Input((None,), dtype="int32"),
        trunk(vocabulary_size=9, embedding_units=4, embedding_range=2.0, dropout=0.0, **small),
        {"a": Regression(), **tagging},
        sharing=MTAN(reduction=1, normalization=normalization),
    )
    shaken(model)
    x = np.array([[3, 4, 5, 6, 7], [6, 7, 0, 0, 0]])
    narrow, wide = (values(model.trunk(x, training=True)) for x in (x, np.pad(x, ((0, 0), (0, 3)))))
    for name, value in narrow.items():
        if value.ndim == 3:
            value, wide[name] = (
                value * narrow["mask"][..., None],
                wide[name][:, :5] * narrow["mask"][..., None],
            )
        if name != "mask":
            np.testing.assert_allclose(wide[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.eager
def test_a_loss_trains_the_masks_of_its_task_and_the_values_can_be_read():
    model = mtlkeras.build_model((6, 6, 1), TinyStages(), HEADS, sharing=MTAN())
    x = RNG.normal(size=(4, 6, 6, 1)).astype("float32")
    model.compile("sgd", run_eagerly=EAGERLY)
    attention = {task: model.trunk.get_layer(f"{task}_last_attention") for task in HEADS}
    before = {task: values(layer.trainable_weights) for task, layer in attention.items()}
    model.train_on_batch(x, {"a": np.ones(4)})
    changed = {
        task: any((a != b).any() for a, b in zip(values(layer.trainable_weights), before[task], strict=True))
        for task, layer in attention.items()
    }
    assert changed == {"a": True, "mask": False}
    seen = RNG.normal(size=(2, 3, 3, 8)).astype("float32")
    p = RNG.normal(size=(2, 3, 3, 4)).astype("float32")
    gates = values(attention["a"].gate_values(p, seen))
    assert gates.shape == p.shape
    assert ((gates > 0) & (gates < 1)).all()
    np.testing.assert_allclose(values(attention["a"](p, seen)), gates * p, rtol=1e-5)


def test_windows_cover_maps_and_steps_evenly():
    x = np.arange(7, dtype="float32").reshape(1, 7, 1)
    pool = AdaptivePooling()
    means = [x[0, i * 7 // 3 : -(-(i + 1) * 7 // 3), 0].mean() for i in range(3)]
    np.testing.assert_allclose(values(pool([x, np.zeros((1, 3, 2))]))[0, :, 0], means, rtol=1e-6)
    grid = np.concatenate([x[:, :, None]] * 4, axis=2)
    np.testing.assert_allclose(values(pool([grid, np.zeros((1, 3, 2, 2))]))[0, :, 1, 0], means, rtol=1e-6)
    masks = [np.arange(7)[None] < n for n in (4, 2)]
    np.testing.assert_allclose(values(pool([x, x, *masks]))[0, :3, 0], [0.5, 2.5, 0.0], rtol=1e-6)


def test_one_model_as_the_trunk_is_cut_and_its_layers_are_used():
    trunk = TinyStages()
    own = mtlkeras.build_model((6, 6, 1), trunk, {"old": Regression()}).trunk
    model = mtlkeras.build_model((6, 6, 1), Staged(own, cuts=("conv", "last")), HEADS, sharing=MTAN())
    assert model.trunk.get_layer("conv") is own.get_layer("conv")
    names = [layer.name for layer in model.trunk.layers if isinstance(layer, FeatureAttention)]
    assert names == [f"{task}_{stage}_attention" for stage in ("conv", "last", "features") for task in HEADS]


def test_stages_that_do_not_fit_are_told():
    def build(trunk=None, **fields):
        return mtlkeras.build_model((6, 6, 1), trunk or TinyStages(), HEADS, sharing=MTAN(**fields))

    with pytest.raises(ValueError, match=r"Unknown stage 'lst' in stages= of MTAN on TinyStages.*'last'"):
        build(stages=("lst",))
    with pytest.raises(ValueError, match="MTAN: stages must hold the last stage of TinyStages.*, 'last'"):
        build(stages=("conv",))
    with pytest.raises(ValueError, match=r"MTAN: works between the stages of a trunk.*Staged\(model"):
        build(keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3)]))
    for fields, message in [
        ({"stages": ()}, "stages must name at least one stage"),
        ({"stages": ("a", "a")}, "stages must be distinct"),
        ({"reduction": 0}, "reduction must be a whole number of at least 1"),
        ({"normalization": "group"}, "normalization must be one of"),
    ]:
        with pytest.raises(ValueError, match=f"MTAN: {message}"):
            MTAN(**fields)


@pytest.mark.slow
def test_a_network_of_keras_applications_has_masks():
    trunk = Pretrained("MobileNetV2", weights=None, options={"alpha": 0.35})
    model = mtlkeras.build_model(
        (32, 32, 3), trunk, {"a": Classification(3), "b": Regression()}, sharing=MTAN()
    )
    assert np.isfinite(values(model(np.ones((2, 32, 32, 3), "float32"))["a"])).all()
