"""Text as numbers: what a tokeniser and its vocabulary are."""

from mtlkeras.text.encoder import TextEncoder

__all__ = ["TextEncoder"]
