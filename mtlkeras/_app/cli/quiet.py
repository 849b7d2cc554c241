"""Notes of TensorFlow that tell the user of a command nothing."""

from __future__ import annotations

import logging


def without_retracing_notes() -> None:
    """Leaves out the warnings of retracing, where each of several models is traced anew."""
    logging.getLogger("tensorflow").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "retracing" not in record.getMessage()
