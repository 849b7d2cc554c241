"""The package as a whole: its names, what importing it does, and its version."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import pytest

import mtlkeras

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("pandas", "sklearn", "tensorflow_datasets", "matplotlib", "keras_tuner", "pyarrow", "PIL", "rich")


IN_A_FRESH_PROCESS = f"""
import json, sys, keras
before = set(sys.modules)
import mtlkeras
added = [m for m in {HEAVY!r} if m in sys.modules and m not in before]
import numpy as np
model = keras.saving.load_model(sys.argv[1])
outputs = model.predict(np.linspace(-1, 1, 10, dtype="float32").reshape(2, 5), verbose=0)
print(json.dumps([added, type(model).__name__, {{t: o.tolist() for t, o in outputs.items()}}]))
"""


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    heads = {
        "a": mtlkeras.heads.Classification(3),
        "b": mtlkeras.heads.MultiLabel(2),
        "c": mtlkeras.heads.Regression(),
        "d": mtlkeras.heads.Ordinal(4),
    }
    model = mtlkeras.build_model((5,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam")
    path = tmp_path_factory.mktemp("package") / "model.keras"
    model.save(path)
    return model, path


@pytest.fixture(scope="module")
def fresh_process(saved_model):
    """What a process that imported only keras and mtlkeras says of the saved model."""
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(saved_model[1])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", mtlkeras.__all__)
def test_public_name_is_there(name):
    assert getattr(mtlkeras, name) is not None
    assert name in dir(mtlkeras)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'build_modle'"):
        _ = mtlkeras.build_modle


def test_import_brings_nothing_heavy_but_keras(fresh_process):
    assert fresh_process[0] == []


def test_import_is_enough_to_load_a_saved_model(saved_model, fresh_process):
    _, name, outputs = fresh_process
    assert name == "MultiTaskModel"
    x = np.linspace(-1, 1, 10, dtype="float32").reshape(2, 5)
    for task, expected in saved_model[0].predict(x, verbose=0).items():
        np.testing.assert_allclose(outputs[task], expected, rtol=1e-5, atol=1e-6)


def test_every_exported_spec_is_registered_with_keras():
    specs = [
        getattr(module, name)
        for module in (mtlkeras.heads, mtlkeras.sharing, mtlkeras.trunks)
        for name in module.__all__
    ]
    bases = ("Head", "Shared", "Sharing", "Trunk", "ImageTrunk", "TextTrunk", "TokenTrunk", "Flow", "Stage")
    concrete = [s for s in specs if isinstance(s, type) and s.__name__ not in bases]
    assert concrete
    for spec in concrete:
        assert keras.saving.get_registered_object(f"mtlkeras>{spec.__name__}") is spec


def test_version_is_the_installed_one():
    try:
        installed = metadata.version("mtlkeras")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from the source folder, not installed")
    assert installed == mtlkeras.__version__
