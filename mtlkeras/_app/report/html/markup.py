"""Texts, numbers and tables as HTML; whatever they come from is escaped."""

from __future__ import annotations

import csv
import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._app.report.html.parts import Numbers

MOST_ROWS = 100
"""How many rows of a table are in the page; the file has all."""
_LONG = 20


def text(value: Any) -> str:
    """Returns a value as text for people: numbers rounded, NaN as an empty place."""
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return _rounded(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _rounded(value: float) -> str:
    size = abs(value)
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0 or (size >= 10 and value == int(value) and size < 1e9):
        return f"{value:,.0f}"
    if not 1e-3 <= size < 1e6:
        return f"{value:.3e}"
    if size < 0.1:
        return f"{value:.3g}"
    return f"{value:.4f}" if size < 10 else f"{value:,.1f}" if size >= 1000 else f"{value:.5g}"


def escaped(value: Any) -> str:
    """Returns a value as text that is safe in HTML."""
    return html.escape(text(value))


def paragraph(sentence: str) -> str:
    """Returns a paragraph; what stands between backticks is set as code."""
    return f"<p>{with_code(sentence)}</p>"


def with_code(sentence: str) -> str:
    """Returns escaped text; what stands between backticks is set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(sentence))


def table(numbers: Numbers) -> str:
    """Returns a table, in a box that scrolls where it is wider than the page."""
    columns = numbers.columns
    rows = list(zip(*columns.values(), strict=True))
    left = [_is_text(values) for values in columns.values()]
    head = "".join(
        f'<th scope="col"{_class(is_text)}>{escaped(name)}</th>'
        for name, is_text in zip(columns, left, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_cell(v, is_text) for v, is_text in zip(row, left, strict=True)) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    more = f" (the first {MOST_ROWS} of {len(rows):,} rows)" if len(rows) > MOST_ROWS else ""
    caption = numbers.caption + more
    label = html.escape(caption or numbers.name, quote=True)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>'
        + (f"<caption>{html.escape(caption)}</caption>" if caption else "")
        + f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _is_text(values: Sequence[Any]) -> bool:
    return not all(isinstance(v, (int, float)) or hasattr(v, "item") or v is None or v == "" for v in values)


def _class(is_text: bool) -> str:
    return "" if is_text else ' class="n"'


def _cell(value: Any, is_text: bool) -> str:
    shown = text(value)
    kind = ' class="text"' if len(shown) > _LONG else _class(is_text)
    return f"<td{kind}>{html.escape(shown)}</td>"


def csv_text(columns: Mapping[str, Sequence[Any]]) -> str:
    """Returns columns as CSV, their numbers not rounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return out.getvalue()


def slug(name: str) -> str:
    """Returns a name that can be one of a file or a part of the page."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.").lower() or "part"
