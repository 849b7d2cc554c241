"""The page of the checks is made from them.

After a change of a check: `MTLKERAS_WRITE_DOCS=1 pytest tests/checks/test_page.py`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from mtlkeras._app.checks import CHECKS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "checks.md"
HEADER = "| id | title | found when |\n| --- | --- | --- |\n"


def test_the_page_shows_the_checks():
    table = HEADER + "".join(f"| {c.id} | {c.title} | {c.looks_for} |\n" for c in CHECKS.values())
    written = PAGE.read_text()
    page = re.sub(re.escape(HEADER) + r"(\|.*\n)*", lambda _: table, written)
    if os.environ.get("MTLKERAS_WRITE_DOCS"):
        PAGE.write_text(page)
    assert table in page and PAGE.read_text() == page


def test_ids_are_in_order():
    assert list(CHECKS) == [f"MTL{number:03}" for number in range(1, len(CHECKS) + 1)]
    assert all(check.id == key and check.looks_for.endswith(".") for key, check in CHECKS.items())
