"""The stand-in for `keras_tuner.HyperParameters`, against KerasTuner's own."""

from __future__ import annotations

import pytest

import mtlkeras
from mtlkeras._app.hyperparameters import HyperParameters


def _ask(hp):
    """Asks for one of each kind, as a recipe does."""
    given = [hp.Fixed("epochs", 7), hp.Choice("trunk", ["resnet", "vgg"])]
    with hp.name_scope("trunk"):
        given += [hp.Int("depth", 2, 20, step=2, default=8), hp.Float("rate", 1e-4, 1.0, sampling="log")]
        with hp.name_scope("inner"):
            given += [hp.Boolean("bias", default=True), hp.Choice("width", [16, 32], default=32)]
    given += [hp.Int("depth", 1, 3), hp.Choice("trunk", ["resnet", "vgg"])]
    return given


def test_defaults_and_names_are_those_of_keras_tuner():
    keras_tuner = pytest.importorskip("keras_tuner")
    ours, theirs = HyperParameters(), keras_tuner.HyperParameters()
    assert _ask(ours) == _ask(theirs)
    assert ours.values == theirs.values


def test_fixed_value_of_the_runner_goes_first_as_in_keras_tuner():
    keras_tuner = pytest.importorskip("keras_tuner")
    theirs = keras_tuner.HyperParameters()
    theirs.Fixed("epochs", 3)
    assert _ask(HyperParameters(fixed={"epochs": 3}))[0] == _ask(theirs)[0] == 3


def test_specs_draw_their_defaults():
    hp = HyperParameters()
    assert mtlkeras.trunks.ResNet.tune(hp) == mtlkeras.trunks.ResNet()
    assert mtlkeras.heads.Classification.tune(hp, num_classes=3) == mtlkeras.heads.Classification(3)


def test_settings_are_read_as_their_kind():
    hp = HyperParameters(
        {"trunk": "vgg", "trunk/depth": "20", "trunk/rate": "1e-2", "trunk/inner/bias": "no", "depth": 2}
    )
    assert _ask(hp) == [7, "vgg", 20, 0.01, False, 32, 2, "vgg"]
    hp.check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trunk": "vgh"}, "Setting 'trunk' must be one of resnet, vgg; received 'vgh'. Did you mean 'vgg'?"),
        ({"depth": "4"}, "Setting 'depth' must be a whole number from 1 to 3; received '4'."),
        ({"depth": "2.5"}, "Setting 'depth' must be a whole number from 1 to 3; received '2.5'."),
        ({"trunk/rate": "nan"}, "Setting 'trunk/rate' must be a number from 0.0001 to 1; received 'nan'."),
        ({"trunk/inner/bias": "perhaps"}, "Setting 'trunk/inner/bias' must be true or false"),
        ({"trunk/dept": "4"}, "Unknown setting 'trunk/dept' in --set. Did you mean 'trunk/depth'?"),
        ({"epochs": "many"}, "Setting 'epochs' must be a whole number"),
    ],
)
def test_settings_that_do_not_fit_are_told(settings, message):
    hp = HyperParameters(settings)
    with pytest.raises(ValueError) as error:
        _ask(hp)
        hp.check()
    assert message in str(error.value)


def test_what_is_fixed_in_a_search_can_be_set_by_hand_unless_the_run_gives_it():
    hp = HyperParameters({"epochs": "4", "pretrained": "runs/1/model.keras", "rate": "1e-3", "frozen": "no"})
    defaults = {"epochs": 7, "pretrained": "", "rate": 0.1, "frozen": True}
    asked = [hp.Fixed(name, value) for name, value in defaults.items()]
    assert asked == [4, "runs/1/model.keras", 1e-3, False]
    hp.check()
    given = HyperParameters({"epochs": "4"}, fixed={"epochs": 3})
    assert given.Fixed("epochs", 7) == 3
    with pytest.raises(ValueError, match="Setting 'epochs' is fixed"):
        given.check()


def test_value_is_there_after_it_was_asked_for():
    hp = HyperParameters()
    with pytest.raises(KeyError):
        hp.get("trunk")
    _ask(hp)
    assert hp.get("trunk") == "resnet"
