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


def _in_fresh_process(code: str, *args: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("name", mtlkeras.__all__)
def test_public_name_is_there(name):
    assert getattr(mtlkeras, name) is not None
    assert name in dir(mtlkeras)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'build_modle'"):
        _ = mtlkeras.build_modle


def test_import_brings_nothing_heavy_but_keras():
    loaded = f"import json, sys, {{}}; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    ours, plain = (json.loads(_in_fresh_process(loaded.format(name))) for name in ("mtlkeras", "keras"))
    assert ours == plain


def test_import_is_enough_to_load_a_saved_model(tmp_path):
    heads = {
        "a": mtlkeras.heads.Classification(3),
        "b": mtlkeras.heads.MultiLabel(2),
        "c": mtlkeras.heads.Regression(),
        "d": mtlkeras.heads.Ordinal(4),
    }
    model = mtlkeras.build_model((5,), mtlkeras.trunks.MLP(), heads)
    model.compile("adam")
    path = str(tmp_path / "model.keras")
    model.save(path)
    x = np.linspace(-1, 1, 10, dtype="float32").reshape(2, 5)
    code = (
        "import sys, mtlkeras, keras, numpy as np\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "x = np.linspace(-1, 1, 10, dtype='float32').reshape(2, 5)\n"
        "print(type(model).__name__, float(model.predict(x, verbose=0)['a'].sum()), list(model.heads))"
    )
    name, total, tasks = _in_fresh_process(code, path).split(maxsplit=2)
    assert name == "MultiTaskModel"
    assert float(total) == pytest.approx(float(model.predict(x, verbose=0)["a"].sum()), rel=1e-5)
    assert tasks.strip() == str(list(heads))


def test_every_exported_spec_is_registered_with_keras():
    specs = [
        getattr(module, name)
        for module in (mtlkeras.heads, mtlkeras.sharing, mtlkeras.trunks)
        for name in module.__all__
    ]
    concrete = [s for s in specs if isinstance(s, type) and s.__name__ not in ("Head", "Sharing", "Trunk")]
    assert concrete
    for spec in concrete:
        assert keras.saving.get_registered_object(f"mtlkeras>{spec.__name__}") is spec


def test_version_is_the_installed_one():
    try:
        installed = metadata.version("mtlkeras")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from the source folder, not installed")
    assert installed == mtlkeras.__version__
