"""The versions that mtlkeras goes with: what is stated in several places is the same, and others are told."""

import importlib.util
import re
import tomllib
import warnings
from pathlib import Path

import keras
import pytest

from mtlkeras import _versions

ROOT = Path(__file__).resolve().parent.parent


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keras_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = next(one for one in project["dependencies"] if one.startswith("keras"))
    pins = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return oldest.removeprefix("keras>="), re.search(r"^keras==(\S+)", pins, re.MULTILINE)[1]


def test_oldest_requirements_are_the_lower_bounds():
    written = script("write_oldest")
    assert written.PATH.read_text(encoding="utf-8") == written.text()
    for line in written.lower_bounds():
        assert "==" in line and "<" not in line.split(";")[0], f"{line}: expected a lower bound alone"


def test_tested_range_is_what_is_installed_for_the_tests():
    bounds = [tuple(int(part) for part in one.split(".")[:2]) for one in keras_bounds()]
    assert bounds == [_versions.OLDEST, _versions.NEWEST]


@pytest.mark.parametrize("version", ["3.12.0", "3.13.2", "3.15.1", "3.15.9", "3.15.0rc1", keras.__version__])
def test_a_tested_version_gives_no_warning(version):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        _versions.warn_if_untested(version)
    assert not found


@pytest.mark.parametrize("version", ["3.11.3", "3.16.0", "3.16.0.dev2026", "4.0.0", "2.15.0", "unknown"])
def test_another_version_gives_one_warning_that_names_the_range(version):
    with pytest.warns(UserWarning) as found:
        _versions.warn_if_untested(version)
    assert len(found) == 1
    assert "tested with Keras 3.12 to 3.15" in str(found[0].message)
    assert f"this is Keras {version}." in str(found[0].message) and "report" in str(found[0].message)


def test_importing_warns_where_it_was_imported(monkeypatch):
    monkeypatch.setattr(keras, "__version__", "9.9")
    spec = importlib.util.find_spec("mtlkeras")
    with pytest.warns(UserWarning, match="this is Keras 9.9") as found:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert len(found) == 1
