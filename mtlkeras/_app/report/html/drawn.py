"""Pictures drawn by matplotlib, in one look for the page and beside it."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from mtlkeras._app.report.html.parts import Picture
from mtlkeras._app.report.html.style import LIGHT

PAPER = "#fffffe"
"""A white of its own, so that it can be told from white text on dark cells."""


def drawn(picture: Picture, kind: str) -> bytes:
    """Draws a picture in the colours for light paper; returns the file.

    Args:
        picture: The picture.
        kind: `"svg"` or `"png"`.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    with _settings(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture.{kind}"
        picture.draw(path)
        return path.read_bytes()


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    import matplotlib

    ink = LIGHT["ink"]
    with (
        warnings.catch_warnings(),
        matplotlib.rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": "report",
                "text.parse_math": False,  # A name like "$5" is no formula.
                "savefig.facecolor": PAPER,
                "axes.facecolor": "none",
                **{name: ink for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")},
                "axes.edgecolor": ink,
            }
        ),
    ):
        # Texts stay texts, for which the reader's machine has a font, as for Chinese names.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield
