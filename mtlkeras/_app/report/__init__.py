"""What a run leaves for people: tables, curves, a picture of the model, and a page with all of it."""

from __future__ import annotations

from mtlkeras._app.report.page import write_report
from mtlkeras._app.report.tables import markdown, print_table, task_table

__all__ = ["markdown", "print_table", "task_table", "write_report"]
