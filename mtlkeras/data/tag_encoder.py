"""Tags by name and by index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import keras
import numpy as np

from mtlkeras._errors import near_match
from mtlkeras._missing import MISSING
from mtlkeras.layers._tag_constraints import check_tags, split_tag


class Span(NamedTuple):
    """An entity: its type, and its tokens from `start` up to `end`, which is not one of them."""

    type: str
    start: int
    end: int


@keras.saving.register_keras_serializable("mtlkeras")
class TagEncoder:
    """Turns sequences of tag names into padded indices and back, and tags into spans.

    Args:
        tags: The tags' names, by index.
        scheme: `"BIO"` or `"BIOES"` (also written `"IOBES"`) to have the names checked, or `None`.

    Raises:
        ValueError: If the names are not distinct, or not of the scheme.

    Example:

    ```python
    encoder = mtlkeras.data.TagEncoder.from_tags([["O", "B-city"], ["B-city", "I-city", "O"]])
    ids = encoder.encode([["O", "B-city"], ["B-city", "I-city", "O"]])  # shape (2, 3), padded with -1
    encoder.decode(ids)[0]  # ('O', 'B-city')
    encoder.spans(["O", "B-city", "I-city"])  # [Span(type='city', start=1, end=3)]
    head = mtlkeras.heads.CRFTagging(encoder.tags, scheme="BIO")
    ```
    """

    def __init__(self, tags: Sequence[str], scheme: str | None = None) -> None:
        self.tags, self.scheme = tuple(tags), scheme
        self._ids = {tag: index for index, tag in enumerate(self.tags)}
        if len(self._ids) != len(self.tags):
            raise ValueError(f"TagEncoder: tags must be distinct; received {self.tags}.")
        if scheme is not None:
            check_tags(self.tags, scheme, "TagEncoder")

    @classmethod
    def from_tags(cls, sequences: Iterable[Sequence[str]], scheme: str | None = None) -> TagEncoder:
        """Makes an encoder of all tags that occur, `"O"` first and the others sorted."""
        return cls(sorted({t for tags in sequences for t in tags}, key=lambda t: (t != "O", t)), scheme)

    @classmethod
    def from_types(cls, types: Iterable[str], scheme: str = "BIO") -> TagEncoder:
        """Makes an encoder of all tags of a scheme for types of entities, `"O"` first.

        Args:
            types: Names of the types, or tags, whose prefixes are passed over: `"city"` and
                `"B-city"` both give all tags of cities.
            scheme: `"BIO"` or `"BIOES"` (also written `"IOBES"`).
        """
        parts = (split_tag(t) if t[1:2] == "-" else ("", t) for t in types)
        prefixes = "BI" if scheme == "BIO" else "BIES"
        names = sorted({kind for _, kind in parts if kind and kind != "O"})
        return cls(["O", *(f"{prefix}-{kind}" for kind in names for prefix in prefixes)], scheme)

    def encode(self, sequences: Sequence[Sequence[str]], length: int | None = None) -> np.ndarray:
        """Returns indices, int32 of shape `(sequences, time)`, with `mtlkeras.MISSING` after the end.

        Args:
            sequences: Names of tags; `None` or an empty one for a tag that is not known.
            length: The time to pad to; by default that of the longest sequence.

        Raises:
            ValueError: For an unknown tag or a sequence that is longer than `length`; the
                sequence is named.
        """
        longest = max(map(len, sequences), default=0)
        ids = np.full((len(sequences), longest if length is None else length), MISSING, "int32")
        for row, tags in enumerate(sequences):
            if len(tags) > ids.shape[1]:
                raise ValueError(f"Sequence {row} has {len(tags)} tags, which is over length={length}.")
            for place, tag in enumerate(tags):
                if tag and tag not in self._ids:
                    raise ValueError(
                        f"Unknown tag {tag!r} at place {place} of sequence {row}."
                        f"{near_match(tag, self.tags)} Known tags: {', '.join(self.tags)}."
                    )
                ids[row, place] = self._ids[tag] if tag else MISSING
        return ids

    def decode(self, ids: np.ndarray) -> list[tuple[str, ...]]:
        """Returns the tags' names for indices of shape `(sequences, time)`, without those missing."""
        return [tuple(self.tags[i] for i in row if i != MISSING) for row in np.asarray(ids)]

    def spans(self, tags: Sequence[str]) -> list[Span]:
        """Returns the entities of one sequence of names, as conlleval of CoNLL-2000 reads them."""
        found: list[Span] = []
        parts = [split_tag(tag) for tag in tags]
        begin: int | None = None
        for place, (prefix, kind) in enumerate(parts):
            before = parts[place - 1] if place else ("O", "")
            goes_on = begin is not None and prefix in ("I", "E") and before == (before[0], kind)
            if begin is not None and not (goes_on and before[0] in ("B", "I")):
                found.append(Span(parts[begin][1], begin, place))
                begin = None
            if begin is None and prefix != "O":
                begin = place
        if begin is not None:
            found.append(Span(parts[begin][1], begin, len(parts)))
        return found

    def get_config(self) -> dict:
        return {"tags": list(self.tags), "scheme": self.scheme}

    @classmethod
    def from_config(cls, config: dict) -> TagEncoder:
        """Rebuilds the encoder from the result of `get_config`."""
        return cls(**config)
