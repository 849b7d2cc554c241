"""Models that earlier versions saved load, answer and train on as they did."""

import json
import zipfile

import keras
import numpy as np
import pytest

from tests.kept.make_models import FOLDER, MODELS, step

# A graph of steps would take ten times longer to trace than the steps take. Other backends round otherwise,
# and a further step of Adam shows it.
pytestmark = [pytest.mark.eager, pytest.mark.tensorflow]


def saved_by(path):
    """The version of Keras that saved a model."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("metadata.json"))["keras_version"]


def minor(version):
    return tuple(int(part) for part in version.split(".")[:2])


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_answers_and_trains_on_as_it_did(name):
    saver = saved_by(FOLDER / f"{name}.keras")
    if minor(saver) > minor(keras.__version__):
        pytest.skip(f"Keras {keras.__version__} does not read what Keras {saver} saves.")
    kept = np.load(FOLDER / f"{name}.npz")
    new, x, y = MODELS[name]()
    model = keras.saving.load_model(FOLDER / f"{name}.keras")
    assert model.heads == new.heads
    assert type(model.optimizer) is type(new.optimizer)
    for task, answers in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(answers, kept[f"answer_{task}"], rtol=1e-4, atol=1e-5, err_msg=task)
    weights = step(model, x, y)
    assert len(weights) == sum(key.startswith("weight_") for key in kept)
    for number, value in enumerate(weights):
        np.testing.assert_allclose(value, kept[f"weight_{number}"], rtol=1e-3, atol=1e-4, err_msg=str(number))
