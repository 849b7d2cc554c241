"""The page of a run, or of several side by side: one file that needs no other."""

from __future__ import annotations

import html
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.html.parts import Section
from mtlkeras._app.report.html.render import Renderer
from mtlkeras._app.report.html.sections import SECTIONS, failures
from mtlkeras._app.report.html.style import style_sheet
from mtlkeras._files import write_text


def write_page(
    path: Path, title: str, runs: Sequence[RunEvidence], first: Sequence[Section] = ()
) -> list[str]:
    """Writes a page, and its tables and pictures as files in a folder beside it.

    Args:
        path: The page's file; the folder has its name without the ending.
        title: Its title.
        runs: What is known of the runs.
        first: Sections before those of the runs.

    Returns:
        What could not be made; the page tells it, too.
    """
    renderer = Renderer(path.with_suffix(""), _has_matplotlib())
    pieces: list[tuple[str, str, str]] = []
    for section in first:
        name = renderer.anchor(section.title)
        pieces.append((section.title, name, renderer.section(section, name)))
    for run in runs:
        prefix = "" if len(runs) == 1 else f"{run.name}-"
        made = _sections_of(run, renderer, prefix)
        if len(runs) == 1:
            pieces += made
        else:
            body = "".join(text for _, _, text in made)
            name = renderer.anchor(f"run {run.name}")
            summary = f"<summary>All of {html.escape(run.name)}</summary>"
            pieces.append((run.name, name, f'<details class="run" id="{name}">{summary}{body}</details>'))
    told = [*(line for run in runs for line in run.failures), *renderer.attempt.failures]
    missing = failures(told, renderer.left_out)
    if missing is not None:
        name = renderer.anchor("missing")
        pieces.append((missing.title, name, renderer.section(missing, name)))
    write_text(path, _document(title, _about(runs), pieces))
    return told


def _has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _sections_of(run: RunEvidence, renderer: Renderer, prefix: str) -> list[tuple[str, str, str]]:
    found = []
    level = 3 if prefix else 2
    for make in SECTIONS:
        section = renderer.attempt(f"section '{make.__name__}'", make, run)
        if section is not None:
            name = renderer.anchor(f"{prefix}{make.__name__}")
            body = renderer.attempt(
                f"section '{section.title}'", renderer.section, section, name, level, prefix
            )
            if body is not None:
                found.append((section.title, name, body))
    return found


def _about(runs: Sequence[RunEvidence]) -> str:
    abouts = list(dict.fromkeys(run.config.get("about", "") for run in runs))
    names = ", ".join(run.name for run in runs)
    return f"<p>{html.escape(' '.join(abouts))}</p>" + f'<p class="quiet">{html.escape(names)}</p>'


def _document(title: str, about: str, pieces: Sequence[tuple[str, str, str]]) -> str:
    links = "".join(f'<li><a href="#{name}">{html.escape(text)}</a></li>' for text, name, _ in pieces)
    body = "\n".join(text for _, _, text in pieces)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style_sheet()}</style>\n</head>\n<body>\n"
        f"<header><h1>{html.escape(title)}</h1>{about}"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main>\n{body}\n</main>\n'
        "<footer>Written by mtlkeras. Numbers that are not rounded are in the folder beside this page."
        "</footer>\n</body>\n</html>\n"
    )
