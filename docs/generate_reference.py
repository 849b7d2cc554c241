"""Writes the reference from the docstrings: one page per public module.

python docs/generate_reference.py [--out docs/reference]
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import mtlkeras

HERE = Path(__file__).resolve().parent
SECTIONS = ("Args", "Returns", "Yields", "Raises", "Reference", "References", "Metrics")
ITEM = re.compile(r"^    (\*{0,2}\w+): ")
CAPTION = re.compile(r"^(\w[\w ]*):$")


def public_modules() -> list[ModuleType]:
    """Returns mtlkeras and the modules it names in `__all__`."""
    values = [(name, getattr(mtlkeras, name)) for name in mtlkeras.__all__]
    return [mtlkeras, *(value for _, value in values if inspect.ismodule(value))]


def public_members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yields the public names of a module with what they stand for, modules left out."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if not inspect.ismodule(value):
            yield name, value


def own_methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yields the documented public methods and properties that a class defines itself."""
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            yield name, value


def markdown(docstring: str | None) -> str:
    """Turns a docstring into Markdown: sections in bold, their items as a list."""
    lines, section = [], False
    for line in inspect.cleandoc(docstring or "").splitlines():
        caption = CAPTION.match(line)
        if caption:
            section = caption[1] in SECTIONS
            lines += [f"**{caption[1]}**", ""]
        elif section and ITEM.match(line):
            lines.append(ITEM.sub(r"- `\1`: ", line))
        elif section and line.startswith("    "):
            lines.append(line.removeprefix("    ") if lines[-1] == "" else f"  {line.strip()}")
        else:
            section = section and not line.strip()
            lines.append(line)
    return "\n".join(lines)


def signature(value: Any) -> str:
    try:
        text = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""
    return text.replace("'", "")


def entry(name: str, value: Any, level: str = "##") -> str:
    """Returns the section of one name, the methods of a class included."""
    if isinstance(value, property):
        return f"{level} `{name}`\n\n{markdown(value.__doc__)}\n"
    if not callable(value):
        return f"{level} `{name}` = `{value!r}`\n"
    parts = [f"{level} `{name}{signature(value)}`\n\n{markdown(inspect.getdoc(value))}\n"]
    if inspect.isclass(value):
        parts += [entry(f"{name}.{key}", method, level + "#") for key, method in own_methods(value)]
    return "\n".join(parts)


def page(module: ModuleType) -> str:
    """Returns the page of a module."""
    sections = [entry(name, value) for name, value in public_members(module)]
    return "\n".join([f"# {module.__name__}\n\n{markdown(module.__doc__)}\n", *sections])


def write_reference(folder: Path) -> list[Path]:
    """Writes all pages and an index; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    index, paths = ["# Reference", ""], []
    for module in public_modules():
        path = folder / f"{module.__name__}.md"
        path.write_text(page(importlib.import_module(module.__name__)), encoding="utf-8")
        names = ", ".join(name for name, _ in public_members(module))
        index.append(f"- [{module.__name__}]({path.name}): {names}")
        paths.append(path)
    (folder / "index.md").write_text("\n".join(index) + "\n", encoding="utf-8")
    return [*paths, folder / "index.md"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the reference from the docstrings.")
    parser.add_argument("--out", type=Path, default=HERE / "reference", help="folder to write to")
    for path in write_reference(parser.parse_args().out):
        print(path)


if __name__ == "__main__":
    main()
