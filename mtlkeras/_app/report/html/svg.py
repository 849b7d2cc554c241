"""Pictures as SVG that takes the colours of the page, and as files that stand alone."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from mtlkeras._app.report.html.drawn import PAPER, drawn
from mtlkeras._app.report.html.parts import Picture
from mtlkeras._app.report.html.style import LIGHT
from mtlkeras.analysis._pictures import COLOURS

_GREYS = ("#666666", "#999999", "#b2b2b2", "#b3b3b3", "#808080", "#595959")
_LINES = ("#b0b0b0",)
_WIDE = 460.0


def standalone(picture: Picture) -> str:
    """Draws a picture as an SVG file that stands alone, in the colours for light paper.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    text = drawn(picture, "svg").decode("utf-8")
    return _described(re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL), picture)


def inline(text: str, picture: Picture, number: int) -> tuple[str, bool]:
    """Returns what `standalone` gave as part of the page, and whether it is wider than a column.

    Args:
        text: The file.
        picture: The picture.
        number: Its number in the page, for names within it.
    """
    text = text[text.index("<svg") :]
    width, height = (float(v) for v in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups())  # type: ignore[union-attr]
    text = re.sub(r"\s?xmlns(:\w+)?=\"[^\"]*\"", "", text)
    text = _own_names(_recoloured(text, picture.recolour), number)
    # Points of 1/72 inch in the file, pixels of 1/96 in the page. On a phone a wide one is scrolled.
    width, height = width * 4 / 3, height * 4 / 3
    size = f'width="{width:.0f}" height="{height:.0f}"'
    if width > _WIDE:
        size += f' style="min-width:{0.75 * width:.0f}px"'
    text = re.sub(r'(<svg)[^>]*?(viewBox="[^"]*")[^>]*?(role[^>]*)>', rf"\1 {size} \2 \3>", text, count=1)
    return re.sub(r"\n\s*", "\n", text), width > _WIDE


def _described(text: str, picture: Picture) -> str:
    """Gives a picture its title and text alternative."""
    title, about = html.escape(picture.title), html.escape(picture.text)
    return re.sub(
        r"(<svg[^>]*)>",
        lambda found: (
            f'{found[1]} role="img" aria-label="{title}. {about}"><title>{title}</title><desc>{about}</desc>'
        ),
        text,
        count=1,
    )


def _recoloured(text: str, more: Mapping[str, str]) -> str:
    """Turns the colours of a picture into those of the page."""
    names = {
        PAPER: "none",
        LIGHT["ink"]: "currentColor",
        **{colour.lower(): f"var(--series-{i})" for i, colour in enumerate(COLOURS, 1)},
        **dict.fromkeys(_GREYS, "var(--faint)"),
        **dict.fromkeys(_LINES, "var(--line)"),
        **{colour.lower(): f"var(--{name})" for colour, name in more.items()},
    }
    return re.sub(
        r'(?<=[:"] )(#[0-9a-f]{6})\b|(?<=")(#[0-9a-f]{6})(?=")|(?<=:)(#[0-9a-f]{6})\b',
        lambda found: names.get(found[0].lower(), found[0]),
        _simple_fonts(text),
    )


def _simple_fonts(text: str) -> str:
    """Leaves the family of fonts to the page."""
    text = re.sub(r"font: (?:[a-z]+ )?([\d.]+px) [^;\"]*", r"font-size: \1", text)
    return re.sub(r"font-family: [^;\"]*;?", "", text)


def _own_names(text: str, number: int) -> str:
    """Gives what is referred to within a picture names of its own, and the rest none."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(
        r' id="([^"]+)"', lambda found: f' id="p{number}-{found[1]}"' if found[1] in used else "", text
    )
    return re.sub(r'(href="#|url\(#)', rf"\1p{number}-", text)
