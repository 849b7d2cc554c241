"""Conditional spaces, and the default spaces of all specs."""

from __future__ import annotations

import inspect

import keras_tuner
import pytest

import mtlkeras
from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras.sharing import PLE, MMoE
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
    ImageTrunk,
    Pretrained,
    ResNet,
    SharedProjection,
    Stage,
    Staged,
    TextTrunk,
    TokenTrunk,
    Trunk,
)
from mtlkeras.tuning import choose

CHOICES = {"resnet": ResNet, "vgg": VGG, "small": VGG(depth=11, width=16)}


@pytest.fixture(params=[keras_tuner.HyperParameters, HyperParameters])
def hp(request):
    return request.param()


def test_fresh_hyperparameters_give_the_first_option_with_its_defaults(hp):
    assert choose(hp, "trunk", CHOICES) == ResNet()
    assert choose(hp, "other", [VGG, ResNet]) == VGG()
    assert choose(hp, "drawn", {"a": lambda hp: ResNet(depth=hp.Choice("depth", [8, 14]))}) == ResNet(8)


def test_fields_have_the_name_of_their_choice(hp):
    choose(hp, "trunk", CHOICES)
    assert hp.values["trunk"] == "resnet"
    assert hp.values["trunk/resnet/depth"] == 18
    assert not any(name.startswith("trunk/vgg") for name in hp.values)


def test_settings_reach_the_option_that_they_choose():
    hp = HyperParameters({"trunk": "vgg", "trunk/vgg/depth": "11"})
    assert choose(hp, "trunk", CHOICES) == VGG(depth=11)
    hp.check()
    assert choose(HyperParameters({"trunk": "small"}), "trunk", CHOICES) == VGG(depth=11, width=16)


def test_fixed_fields_are_held_where_they_exist(hp):
    trunk = choose(hp, "trunk", CHOICES, depth=34, shortcut="padding")
    assert trunk == ResNet(depth=34, shortcut="padding")
    assert "trunk/resnet/depth" not in hp.values


def test_a_search_sees_the_fields_of_each_option_only_where_it_is_chosen():
    oracle = keras_tuner.oracles.RandomSearchOracle("val_loss", 50, seed=1)
    hp = oracle.get_space()
    for name in CHOICES:
        hp.values["trunk"] = name
        choose(hp, "trunk", CHOICES)
    oracle.update_space(hp)
    seen = set()
    for number in range(40):
        values = oracle.populate_space(str(number))["values"]
        seen.add(values["trunk"])
        assert {name.split("/")[1] for name in values if "/" in name} <= {values["trunk"]} - {"small"}
    assert seen == set(CHOICES)


@pytest.mark.parametrize(
    ("options", "fixed", "message"),
    [
        ({}, {}, "expected at least one option"),
        ([VGG, VGG], {}, "two options have the same name"),
        ([VGG, ResNet], {"dpth": 11}, "Unknown field 'dpth' in choose 'trunk'. Did you mean 'depth'"),
    ],
)
def test_what_does_not_fit_is_told(hp, options, fixed, message):
    with pytest.raises(ValueError, match=message):
        choose(hp, "trunk", options, **fixed)


HEADS = {
    mtlkeras.heads.Classification: {"num_classes": 3},
    mtlkeras.heads.MultiLabel: {"num_labels": 2},
    mtlkeras.heads.Ordinal: {"num_classes": 4},
    mtlkeras.heads.Segmentation: {"num_classes": 3},
    mtlkeras.heads.DenseRegression: {},
    mtlkeras.heads.Regression: {},
    mtlkeras.heads.Tagging: {"tags": ("O", "B-x", "I-x")},
    mtlkeras.heads.MaskedToken: {"vocabulary_size": 9},
    mtlkeras.heads.NextSentence: {},
    mtlkeras.heads.CRFTagging: {"tags": ("O", "B-x", "I-x")},
    mtlkeras.heads.HMMTagging: {"tags": ("O", "B-x", "I-x")},
}
TEXTS = {trunk: {"vocabulary_size": 9} for trunk in (LSTM, BiLSTM, CNNAttention, DPCNN, BERT)}
TEXT = {"l1", "l2", "dropout", "depth", "embedding_units", "character_units"}
IMAGE = {"width", "l1", "l2", "dropout", "normalization"}
SPACES = {
    ResNet: IMAGE | {"depth"},
    VGG: IMAGE | {"depth", "fc_units"},
    AlexNet: IMAGE | {"fc_units"},  # Its depth is that of the paper, as is GoogLeNet's.
    GoogLeNet: IMAGE,
    MLP: {"depth", "width", "activation", "l1", "l2", "dropout", "normalization"},
    SharedProjection: {"units", "activation", "l1", "l2", "dropout"},
    LSTM: TEXT | {"units", "pooling"},
    BiLSTM: TEXT | {"units", "pooling"},
    CNNAttention: TEXT | {"width", "kernel_size", "attention_depth", "heads"},
    DPCNN: TEXT | {"width"},
    BERT: {"depth", "width", "heads", "dropout", "l1", "l2"},
    **dict.fromkeys(HEADS, {"hidden", "dropout", "l2"}),
}

GATES = {"gate", "temperature", "gate_dropout", "normalize_experts"}
SCHEMES = {MMoE: GATES | {"experts"}, PLE: GATES | {"experts", "shared_experts"}}


@pytest.mark.parametrize("spec", [*SPACES, *SCHEMES], ids=lambda spec: spec.__name__)
def test_default_space_of_a_spec_begins_with_the_spec_itself(spec):
    required = {**HEADS, **TEXTS}.get(spec, {})
    hp = keras_tuner.HyperParameters()
    assert spec.tune(hp, **required) == spec(**required)
    assert set(hp.values) >= {**SPACES, **SCHEMES}[spec]
    for entry in hp.space:
        drawn = spec.tune(_with(hp, entry.name, entry.random_sample(seed=3)), **required)
        assert isinstance(drawn, spec)


def _with(space, name, value):
    hp = space.copy()
    hp.values[name] = value
    return hp


def test_every_trunk_and_head_is_in_the_test_above():
    known = {getattr(m, n) for m in (mtlkeras.trunks, mtlkeras.heads) for n in m.__all__}
    bases = {
        Trunk,
        ImageTrunk,
        TextTrunk,
        TokenTrunk,
        Flow,
        Stage,
        Pretrained,
        Staged,
        mtlkeras.heads.ChainHead,
    }
    concrete = {cls for cls in known if isinstance(cls, type) and not inspect.isabstract(cls)}
    assert concrete - bases == set(SPACES)
