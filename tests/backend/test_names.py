"""Each backend has a folder with the same names, which `_backends` hands out."""

import ast
import importlib
from pathlib import Path

import keras

from mtlkeras import _backends

FOLDER = Path(_backends.__file__).parent


def names_of(backend):
    tree = ast.parse((FOLDER / backend / "__init__.py").read_text(encoding="utf-8"))
    (names,) = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"]
    return ast.literal_eval(names)


def test_both_backends_have_the_same_names_in_files_of_the_same_name():
    assert names_of("tensorflow") == names_of("jax")
    files = {name: {path.name for path in (FOLDER / name).glob("*.py")} for name in ("tensorflow", "jax")}
    assert files["jax"] <= files["tensorflow"]


def test_the_names_are_those_of_the_backend_in_force():
    chosen = importlib.import_module(f"mtlkeras._backends.{keras.backend.backend()}")
    for name in names_of("tensorflow"):
        assert getattr(_backends, name) is getattr(chosen, name)
