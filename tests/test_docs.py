"""Every example that is shown runs: in the README, in the guides and in the docstrings."""

from __future__ import annotations

import ast
import doctest
import html
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

import mtlkeras

ROOT = Path(__file__).resolve().parent.parent
GUIDES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("**/*.md")),
]
GUIDES = [path for path in GUIDES if "reference" not in path.parts]  # What `make docs` writes.
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")

pytestmark = pytest.mark.tensorflow


def _script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = _script("generate_reference")


def _documented():
    """Yields (name, docstring) of all that is public and shows an example."""
    for module in REFERENCE.public_modules():
        for name, value in REFERENCE.public_members(module):
            if not callable(value):
                continue
            yield f"{module.__name__}.{name}", inspect.getdoc(value)
            for key, method in REFERENCE.own_methods(value) if inspect.isclass(value) else ():
                yield f"{module.__name__}.{name}.{key}", inspect.getdoc(method)


EXAMPLES = {name: doc for name, doc in _documented() if doc and "```python" in doc}


def _dialogues():
    """Yields (place, text) of all that shows what an interpreter answers, documented publicly or not."""
    for path in GUIDES:
        yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "mtlkeras").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'name', '')}", ast.get_docstring(node) or ""


DIALOGUES = {str(place): text for place, text in _dialogues() if ">>> " in text}


def _run(text: str, source: str, namespace: dict) -> None:
    for block in BLOCK.findall(text):
        exec(compile(textwrap.dedent(block), source, "exec"), namespace)


# Guides that take a few steps of a large graph.
FEW_STEPS = ("pretraining.md", "sequences.md", "text.md")
GUIDES_TO_RUN = [
    pytest.param(path, id=path.name, marks=[pytest.mark.eager] if path.name in FEW_STEPS else [])
    for path in GUIDES
]


@pytest.mark.parametrize("path", GUIDES_TO_RUN)
def test_guide_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _run(path.read_text(encoding="utf-8"), str(path), {"__name__": "__main__"})


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guide_links_to_what_exists(path):
    text = path.read_text(encoding="utf-8")
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []


# What is measured, and what is repeated a hundred times, is traced.
MANY_STEPS = ("mtlkeras.training.measure_steps", "mtlkeras.layers.HMM")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in MANY_STEPS else [pytest.mark.eager]) for name in EXAMPLES]
)
def test_docstring_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _run(EXAMPLES[name], name, {"np": np, "keras": keras, "mtlkeras": mtlkeras})


@pytest.mark.parametrize("place", DIALOGUES)
def test_interpreter_answers_as_shown(place):
    names = {"np": np, "keras": keras, "mtlkeras": mtlkeras}
    test = doctest.DocTestParser().get_doctest(DIALOGUES[place], names, place, None, 0)
    assert test.examples
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert not failed, "".join(said)


def test_a_dialogue_was_found():
    assert any(place.startswith("mtlkeras/metrics/") for place in DIALOGUES)


def _has_docstring(value) -> bool:
    text = value.__doc__ or ""
    return bool(text.strip()) and not text.startswith(f"{value.__name__}(")  # What dataclass puts there.


def test_every_public_name_is_documented():
    missing = [
        f"{module.__name__}.{name}"
        for module in REFERENCE.public_modules()
        for name, value in REFERENCE.public_members(module)
        if callable(value) and not _has_docstring(value)
    ]
    assert missing == []


def test_reference_has_a_section_for_every_public_name(tmp_path):
    REFERENCE.write_reference(tmp_path)
    for module in REFERENCE.public_modules():
        page = (tmp_path / f"{module.__name__}.md").read_text(encoding="utf-8")
        sections = set(re.findall(r"^## `(\w+)", page, re.MULTILINE))
        assert sections == {name for name, _ in REFERENCE.public_members(module)}


def test_reference_turns_sections_into_lists():
    text = "Adds.\n\nArgs:\n    x: One,\n        or two.\n    **kwargs: More.\n\nReturns:\n    The sum.\n"
    assert REFERENCE.markdown(text) == (
        "Adds.\n\n**Args**\n\n- `x`: One,\n  or two.\n- `**kwargs`: More.\n\n**Returns**\n\nThe sum."
    )


def test_picture_of_the_packages_is_that_of_the_code():
    drawing = _script("draw_architecture")
    drawn = drawing.structure()
    picture = drawing.PICTURE.read_text(encoding="utf-8")
    shown = html.unescape(re.search("<desc>(.*?)</desc>", picture, re.DOTALL)[1])
    assert shown == str(drawn), "draw it anew: python docs/draw_architecture.py"
    assert drawing.svg(drawn) == drawing.svg(drawing.structure())
    assert ("_model", "sharing") in drawn.arrows
    assert ("_model", "heads") not in drawn.arrows  # By way of others.
