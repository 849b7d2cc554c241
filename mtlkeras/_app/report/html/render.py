"""Sections as HTML, and the files beside the page."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable
from pathlib import Path

from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.html import svg
from mtlkeras._app.report.html.markup import csv_text, paragraph, slug, table
from mtlkeras._app.report.html.parts import Markup, Numbers, Part, Picture, Section
from mtlkeras._files import write_text

MOST_BYTES = 2_600_000
"""What the pictures of a page may take, so that it stays under 3 MB."""


class Renderer:
    """Turns sections into HTML and writes their numbers and pictures into a folder.

    Args:
        folder: The folder of the files, beside the page.
        with_pictures: Whether pictures can be drawn; else their numbers are shown in their place.
    """

    def __init__(self, folder: Path, with_pictures: bool) -> None:
        self.attempt = Attempts()
        self.left_out = 0
        self._folder, self._with_pictures = folder, with_pictures
        self._bytes = self._pictures = 0
        self._files: set[str] = set()
        self._anchors: set[str] = set()

    def anchor(self, text: str) -> str:
        """Returns a name in the page that no other part has."""
        return _one_of_its_own(text, self._anchors)

    def section(self, section: Section, name: str, level: int = 2, prefix: str = "") -> str:
        """Returns a section.

        Args:
            section: The section.
            name: Its name in the page, for links to it.
            level: The level of its heading.
            prefix: What the names of its files begin with.
        """
        pieces: list[str] = []
        row: list[str] = []
        for part in section.parts:
            if isinstance(part, Picture):
                row.append(self._picture(part, prefix))
                continue
            pieces += _in_a_row(row)
            row = []
            pieces.append(self._part(part, prefix))
        heading = f"<h{level}>{html.escape(section.title)}</h{level}>"
        return f'<section id="{name}">{heading}{"".join([*pieces, *_in_a_row(row)])}</section>'

    def _part(self, part: Part, prefix: str) -> str:
        if isinstance(part, str):
            return paragraph(part)
        if isinstance(part, Markup):
            return part.html
        assert isinstance(part, Numbers)
        file = self._write(part, prefix)
        return table(part) if part.is_open else _folded(part, file)

    def _picture(self, picture: Picture, prefix: str) -> str:
        file = self._write(picture.numbers, prefix)
        drawn = self._drawn(picture, file) if self._with_pictures else None
        caption = f"<figcaption>{html.escape(picture.text)}</figcaption>"
        if drawn is None:
            title = f"<h3>{html.escape(picture.title)}</h3>"
            return f"<figure>{title}{caption}{_folded(picture.numbers, file)}</figure>"
        kind = ' class="wide"' if drawn[1] else ""
        label = html.escape(picture.title, quote=True)
        box = f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">' if drawn[1] else "<div>"
        return f"<figure{kind}>{box}{drawn[0]}</div>{caption}{_folded(picture.numbers, file)}</figure>"

    def _drawn(self, picture: Picture, file: str) -> tuple[str, bool] | None:
        """Draws a picture into the folder; returns it for the page, if there is room, and if it is wide."""
        alone = self.attempt(f"picture '{picture.title}'", svg.standalone, picture)
        if alone is None:
            return None
        write_text(self._folder / Path(file).with_suffix(".svg").name, alone)
        self._pictures += 1
        drawn, is_wide = svg.inline(alone, picture, self._pictures)
        if self._bytes + len(drawn.encode()) > MOST_BYTES:
            self.left_out += 1
            return None
        self._bytes += len(drawn.encode())
        return drawn, is_wide

    def _write(self, numbers: Numbers, prefix: str) -> str:
        """Writes a table as CSV; returns its path from the page."""
        name = _one_of_its_own(f"{prefix}{numbers.name}", self._files)
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text(self._folder / f"{name}.csv", csv_text(numbers.columns))
        return f"{self._folder.name}/{name}.csv"


def _one_of_its_own(text: str, taken: set[str]) -> str:
    """Returns a name made of a text, another one than those that are taken, and takes it."""
    base = slug(text)
    names = (base if count == 1 else f"{base}-{count}" for count in itertools.count(1))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name


def _folded(numbers: Numbers, file: str) -> str:
    path = html.escape(file, quote=True)
    link = f'<p class="quiet">As a file: <a href="{path}">{path}</a></p>'
    caption = html.escape(numbers.caption or "Numbers")
    return f"<details><summary>{caption}</summary>{table(numbers)}{link}</details>"


def _in_a_row(figures: list[str]) -> list[str]:
    return [f'<div class="pictures">{"".join(figures)}</div>'] if figures else []


Make = Callable[..., Section | None]
"""Makes a section of what is known of a run; `None` where it does not apply."""
