"""What a page is made of: sections of sentences, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Draw = Callable[[Path], Any]
"""Draws a picture into a file, the path's ending telling the format."""


@dataclass(frozen=True)
class Numbers:
    """Numbers as a table, in the page and as a CSV file.

    Args:
        name: Name of the file without its ending.
        columns: Columns by name, all of one length.
        is_open: Whether the table is in sight, and not to be unfolded.
        caption: What the numbers are.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    caption: str = ""
    is_open: bool = False

    def frame(self) -> dict[str, list[Any]]:
        """Returns the columns by name, as `pandas` takes them."""
        return {name: list(values) for name, values in self.columns.items()}


@dataclass(frozen=True)
class Picture:
    """A picture with its numbers.

    Args:
        title: Its title.
        text: What it shows, for those who do not see it.
        draw: Draws it.
        numbers: Its numbers.
        recolour: More colours of it to be turned into those of the page, by name.
    """

    title: str
    text: str
    draw: Draw
    numbers: Numbers
    recolour: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Markup:
    """A piece of HTML whose texts are escaped already."""

    html: str


Part = str | Numbers | Picture | Markup
"""A sentence or a paragraph, a table, a picture, or HTML."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Args:
        title: Its title.
        parts: What is in it.
    """

    title: str
    parts: Sequence[Part]
