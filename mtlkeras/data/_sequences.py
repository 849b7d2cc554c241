"""Rows of different length: the tokens of sentences and the tags of tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Rows of different length.

    Args:
        flat: The entries of all rows, one row after the other; shape `(entries, ...)`.
        lengths: Number of entries of each row.
        padding: What a batch is filled up with to the length of its longest row.
    """

    flat: np.ndarray
    lengths: np.ndarray
    padding: Any

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: np.ndarray) -> Sequences:
        starts = np.cumsum(self.lengths) - self.lengths
        lengths = self.lengths[rows]
        # Positions count on within each row, from where it starts.
        ends = np.cumsum(lengths)
        places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts[rows] - (ends - lengths), lengths)
        return dataclasses.replace(self, flat=self.flat[places], lengths=lengths)

    @property
    def dtype(self) -> np.dtype:
        """Type of the entries."""
        return self.flat.dtype

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Number of rows, `None` for their length, and the shape of an entry."""
        return (len(self), None, *self.flat.shape[1:])

    def cut(self, length: int) -> Sequences:
        """Returns the rows without what is beyond a length."""
        place = np.arange(len(self.flat)) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        kept = place < length
        return dataclasses.replace(self, flat=self.flat[kept], lengths=np.minimum(self.lengths, length))

    def ragged(self) -> Any:
        """Returns the rows as a `tf.RaggedTensor`."""
        import tensorflow as tf

        return tf.RaggedTensor.from_row_lengths(tf.constant(self.flat), self.lengths, validate=False)

    def gather(self, ragged: Any, batch: Any, multiple: int = 1) -> Any:
        """Returns the rows of a batch, padded to the longest of them.

        Args:
            ragged: What `ragged` gave.
            batch: Positions of the rows.
            multiple: The length becomes a multiple of this number.
        """
        import tensorflow as tf

        padding = tf.constant(self.padding, ragged.dtype)
        dense = tf.gather(ragged, batch).to_tensor(padding)
        if multiple > 1:
            missing = -tf.shape(dense)[1] % multiple
            widths = [[0, 0], [0, missing], *([0, 0] for _ in self.flat.shape[1:])]
            dense = tf.pad(dense, widths, constant_values=padding)
        return tf.ensure_shape(dense, (None, None, *self.flat.shape[1:]))


def sequences(rows: Sequence[Sequence[Any]], dtype: Any, padding: Any) -> Sequences:
    """Makes `Sequences` of lists."""
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    flat = np.empty(int(lengths.sum()), dtype)
    flat[:] = [entry for row in rows for entry in row]
    return Sequences(flat, lengths, padding)


def grouped_by_length(order: np.ndarray, lengths: np.ndarray, batch_size: int, random: Any) -> np.ndarray:
    """Rearranges a random order so that each batch holds rows of like length.

    The order is cut into parts of a hundred batches, each part is sorted by length, and the
    batches are shuffled. A last batch that is not full stays the last.

    Args:
        order: Positions of the rows.
        lengths: Length of each row, by position.
        batch_size: Rows of a batch.
        random: A `numpy.random.Generator` for the order of the batches.
    """
    # The incomplete batch is put aside first, or it would be shuffled among the others.
    whole = len(order) // batch_size * batch_size
    part = 100 * batch_size
    parts = [order[start : min(start + part, whole)] for start in range(0, whole, part)]
    ranked = [p[np.argsort(lengths[p], kind="stable")] for p in parts]
    batches = np.concatenate([*ranked, order[:0]]).reshape(-1, batch_size)
    return np.concatenate([random.permutation(batches).reshape(-1), order[whole:]])


def joined(values: Sequence[np.ndarray], padding: int = 0) -> np.ndarray:
    """Joins batches; where their rows are of different length, all become as long as the longest.

    Args:
        values: The batches.
        padding: What whole numbers are filled up with; strings are with `""`, floats with NaN.
    """
    longest = np.max([v.shape for v in values], axis=0)
    kind = values[0].dtype.kind
    fill: Any = {"O": b"", "f": np.nan}.get(kind, padding)
    widths = [[(0, 0), *((0, n) for n in (longest - v.shape)[1:])] for v in values]
    padded = [
        np.pad(v, width, constant_values=fill) if np.any(width) else v
        for v, width in zip(values, widths, strict=True)
    ]
    return np.concatenate(padded)
