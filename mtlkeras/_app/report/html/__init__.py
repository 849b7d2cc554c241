"""The report as one HTML page that needs no other file."""

from mtlkeras._app.report.html.page import write_page

__all__ = ["write_page"]
