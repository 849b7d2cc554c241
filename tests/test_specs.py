"""Specs are values: they compare, hash, print, travel through Keras' serialisation and tune."""

import json

import keras
import pytest

from mtlkeras.heads import Classification, Head, MultiLabel, Ordinal, Regression
from mtlkeras.sharing import HardSharing
from tests.support import TinyTrunk

SPECS = [
    Classification(3, class_names=("a", "b", "c"), class_weight={"a": 2.0, 1: 0.5}, l2=1e-4, hidden=(8, 4)),
    Classification(
        2, metrics=("accuracy", keras.metrics.SparseCategoricalCrossentropy(name="ce")), at="conv"
    ),
    MultiLabel(2, label_names=("x", "y"), positive_weight=(1.0, 3.0)),
    Regression(num_targets=2, mean=(1.0, 2.0), scale=3.0, loss_kind="huber"),
    Ordinal(4, class_names=("p", "q", "r", "s"), loss_weight=2.0),
    HardSharing(),
    TinyTrunk(width=8),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: type(s).__name__)
def test_survives_serialisation_through_json(spec):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(spec)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(spec)
    assert again.get_config() == spec.get_config()


@pytest.mark.parametrize("spec", [s for s in SPECS if getattr(s, "metrics", None) is None], ids=repr)
def test_repr_rebuilds_an_equal_value_with_the_same_hash(spec):
    again = eval(repr(spec), {type(spec).__name__: type(spec)})
    assert again == spec and hash(again) == hash(spec)
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(spec)) == spec


def test_specs_differ_by_value():
    assert Classification(3) == Classification(3)
    assert Classification(3) != Classification(3, l2=1e-3)
    assert Classification(3) != Ordinal(3)


def test_fields_cannot_be_changed():
    head = Classification(3, class_weight={0: 2.0})
    with pytest.raises(AttributeError):
        head.num_classes = 4
    with pytest.raises(TypeError, match="replace"):
        head.class_weight[0] = 5.0
    assert head.replace(l2=0.1).l2 == 0.1 and head.l2 == 0.0


def test_lists_and_tuples_are_one_value():
    assert Classification(2, hidden=[8], class_names=["a", "b"]) == Classification(
        2, hidden=(8,), class_names=("a", "b")
    )


@pytest.mark.parametrize(
    "cls, args", [(Classification, {"num_classes": 3}), (Regression, {}), (TinyTrunk, {})]
)
def test_tune_with_fresh_hyperparameters_gives_the_default(cls, args):
    keras_tuner = pytest.importorskip("keras_tuner")
    hp = keras_tuner.HyperParameters()
    assert cls.tune(hp, **args) == cls(**args)
    assert hp.values  # Something is there to search.


def test_tune_draws_from_the_space_and_holds_what_is_fixed():
    keras_tuner = pytest.importorskip("keras_tuner")
    hp = keras_tuner.HyperParameters()
    hp.values["width"] = 8
    assert TinyTrunk.tune(hp).width == 8
    assert TinyTrunk.tune(hp, width=4).width == 4
    with pytest.raises(ValueError, match="Did you mean 'width'"):
        TinyTrunk.tune(hp, widht=4)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Classification(1), "at least 2; received 1"),
        (lambda: Classification(3, class_names=("a", "b")), "3 entries; received 2"),
        (lambda: Classification(2, class_names=("a", "a")), "distinct"),
        (
            lambda: Classification(2, class_weight={"c": 1.0}, class_names=("a", "b")),
            "'c'; the classes are a, b",
        ),
        (lambda: Classification(2, class_weight={0: -1.0}), "not negative"),
        (lambda: Classification(3, metrics=("accurcy",)), "Did you mean 'accuracy'"),
        (lambda: Classification(3, class_weight="balancd"), "Did you mean 'balanced'"),
        (lambda: Classification(3, class_weight=(1.0, 2.0)), "a dict by class, or 3 weights"),
        (lambda: Classification(3, focal_gamma=-1.0), "focal_gamma must be a finite number"),
        (lambda: Classification(3, label_smoothing=1.0), "label_smoothing"),
        (lambda: Classification(3, dropout=1.0), "dropout must be in"),
        (lambda: Classification(3, l2=float("nan")), "l2 must be finite"),
        (lambda: Ordinal(2), "at least 3"),
        (lambda: Regression(scale=0.0), "scale must be above zero"),
        (lambda: Regression(num_targets=2, mean=(1.0, 2.0, 3.0)), "mean must be"),
        (lambda: Regression(loss_kind="hubr"), "Did you mean 'huber'"),
        (lambda: Regression(loss_kind="quantile", quantile=1.0), "quantile must be between 0 and 1"),
        (lambda: Regression(quantile=(0.1, 0.5)), "a number or 1 of them"),
        (lambda: Regression(huber_delta=0.0), "huber_delta must be finite and above zero"),
        (lambda: MultiLabel(0), "at least 1"),
        (lambda: MultiLabel(2, positive_weight="balance"), "Did you mean 'balanced'"),
        (lambda: MultiLabel(2, focal_gamma="2"), "focal_gamma must be a number"),
        (lambda: MultiLabel(2, threshold=1.5), "threshold"),
        (lambda: MultiLabel(2, positive_weight=(1.0, 2.0, 3.0)), "positive_weight"),
    ],
)
def test_fields_that_do_not_fit_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_field_of_a_head_is_documented_somewhere():
    for cls in (Classification, MultiLabel, Ordinal, Regression):
        text = f"{cls.__doc__}\n{Head.__doc__}"
        assert [f for f in cls.field_names() if f"{f}:" not in text] == []
