"""The pictures of the page that can be drawn in a moment, while a run trains."""

from __future__ import annotations

from collections.abc import Iterator

from mtlkeras._app.report.evidence import RunEvidence
from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.html.drawn import drawn
from mtlkeras._app.report.html.parts import Picture
from mtlkeras._app.report.html.sections.labels import classes, numbers, reliability
from mtlkeras._app.report.html.sections.training import cosines, curves, weights

_SECTIONS = (curves, weights, cosines, classes, reliability, numbers)


def live_pictures(run: RunEvidence, attempt: Attempts) -> Iterator[tuple[str, bytes]]:
    """Yields pictures as PNG, each with a name of its own: its title below that of its section.

    Args:
        run: What is known of the run so far.
        attempt: Makes the parts; a picture that cannot be drawn is left out.
    """
    names: dict[str, int] = {}
    for make in _SECTIONS:
        section = attempt(f"section '{make.__name__}'", make, run)
        for picture in () if section is None else section.parts:
            if not isinstance(picture, Picture):
                continue
            file = attempt(f"picture '{picture.title}'", drawn, picture, "png")
            name = f"{section.title}/{picture.title}"
            names[name] = names.get(name, 0) + 1
            if file is not None:
                yield name if names[name] == 1 else f"{name} ({names[name]})", file
