"""Tables as sources: CSV, JSON, CoNLL and Parquet files, and pandas data frames."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras.data._columns import Column, from_array, from_cells, from_objects, is_missing
from mtlkeras.data._conll import CONLLU, read_conll
from mtlkeras.data._rows import Rows

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".conll", ".conllu")


def is_table(path: Path) -> bool:
    """Whether a file's name is that of a table this module reads."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_table(
    path: Path, on_error: str = "raise", columns: Sequence[str] | None = None, quotes: bool = True
) -> Rows:
    """Reads a table file.

    Args:
        path: A `.csv`, `.tsv`, `.json`, `.jsonl`, `.conll` or `.conllu` file, plain or `.gz`, or a
            `.parquet` file.
        on_error: `"raise"`, or `"skip"` to leave out rows that cannot be read.
        columns: Names of the columns of a file with one token a line.
        quotes: Whether quotation marks in `.csv` and `.tsv` enclose cells.

    Raises:
        ValueError: If the file or a row cannot be read; the message names it.
    """
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    if kind == ".parquet":
        return _read_parquet(path)
    if kind == ".conll" and columns is None:
        raise ValueError(f"{path.name} needs columns=, the names of its columns in their order.")
    with _text(path) as stream:
        if columns is not None or kind == ".conllu":
            return read_conll(path.name, stream, columns or CONLLU, on_error)
        if kind in (".csv", ".tsv"):
            return _read_csv(path.name, stream, "\t" if kind == ".tsv" else ",", on_error, quotes)
        if kind == ".json":
            return _read_json(path.name, stream, on_error)
        return _read_json_lines(path.name, stream, on_error)


def from_frame(frame: Any) -> Rows:
    """Takes a pandas data frame as a table; whole-number columns with gaps stay whole numbers."""
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise ValueError(f"The data frame names a column twice: {', '.join(names)}.")
    columns = {}
    for name in frame.columns:
        series = frame[name]
        plain = isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf"
        values = series.to_numpy()
        columns[str(name)] = from_array(values).whole() if plain else _from_series(series)
    return Rows("the data frame", columns, np.arange(1, len(frame) + 1))


def _from_series(series: Any) -> Column:
    gone = series.isna().to_numpy()
    values = series.tolist()
    # pandas keeps a word of blanks, which in a file is an empty cell.
    gone = gone | np.array([is_missing(value) for value in values], bool)
    return from_objects(values, gone).whole()


@contextlib.contextmanager
def _text(path: Path) -> Iterator[io.TextIOBase]:
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as stream:
            yield stream
    except UnicodeDecodeError as error:
        with opener(path, "rb") as stream:
            number = next(n for n, line in enumerate(stream, 1) if not _is_utf8(line))
        raise ValueError(f"Cannot read {path.name}: line {number} is not UTF-8 ({error.reason}).") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise ValueError(f"Cannot read {path.name}: {error}.") from error


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_csv(name: str, stream: Any, delimiter: str, on_error: str, quotes: bool) -> Rows:
    reader = csv.reader(
        stream, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE, strict=True
    )
    header = next(reader, None)
    if not header:
        raise ValueError(f"{name} is empty; expected a first line with the names of the columns.")
    if len(set(header)) < len(header):
        raise ValueError(f"{name} names a column twice: {', '.join(header)}.")
    rows, numbers, skipped = [], [], []
    for number, cells in enumerate(_csv_rows(name, reader), 1):
        if len(cells) == len(header):
            rows.append(cells)
            numbers.append(number)
        else:
            what = f"row {number} of {name} (line {reader.line_num})"
            _bad_row(f"{what} has {len(cells)} cells instead of {len(header)}", on_error)
            skipped.append(what)
    columns = {column: from_cells([cells[i] for cells in rows]) for i, column in enumerate(header)}
    return Rows(name, columns, np.array(numbers, np.int64), skipped=skipped)


def _csv_rows(name: str, reader: Any) -> Iterator[list[str]]:
    try:
        yield from (cells for cells in reader if cells)
    except csv.Error as error:
        raise ValueError(f"Cannot read {name} at line {reader.line_num}: {error}.") from error


def _bad_row(reason: str, on_error: str) -> None:
    if on_error != "skip":
        raise ValueError(f"{reason[0].upper()}{reason[1:]}. Pass on_error='skip' to leave such rows out.")


def _read_json(name: str, stream: Any, on_error: str) -> Rows:
    try:
        data = json.load(stream)
    except json.JSONDecodeError as error:
        raise ValueError(f"Cannot read {name}: {error}.") from error
    if isinstance(data, Mapping):
        if not all(isinstance(v, Mapping) for v in data.values()):
            raise ValueError(f"{name} must hold a list of objects, or an object of objects by file name.")
        data = [{"image": key, **value} for key, value in data.items()]
    return _records(name, list(enumerate(data, 1)), on_error)


def _read_json_lines(name: str, stream: Any, on_error: str) -> Rows:
    records = []
    for number, line in enumerate(stream, 1):
        if line.strip():
            with contextlib.suppress(json.JSONDecodeError):
                records.append((number, json.loads(line)))
                continue
            records.append((number, None))
    if not records:
        raise ValueError(f"{name} is empty; expected one JSON object a line.")
    return _records(name, records, on_error)


def _records(name: str, records: Sequence[tuple[int, Any]], on_error: str) -> Rows:
    good, skipped = [], []
    for number, record in records:
        if isinstance(record, Mapping):
            good.append((number, record))
        else:
            _bad_row(f"row {number} of {name} is not a JSON object", on_error)
            skipped.append(f"row {number} of {name}")
    names = dict.fromkeys(key for _, record in good for key in record)
    columns = {key: from_objects([record.get(key) for _, record in good]).whole() for key in names}
    return Rows(name, columns, np.array([number for number, _ in good], np.int64), skipped=skipped)


def _read_parquet(path: Path) -> Rows:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"Reading {path.name} needs pyarrow: pip install pyarrow.") from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"Cannot read {path.name}: {error}.") from error
    columns = {name: _arrow_column(table.column(name)) for name in table.column_names}
    return Rows(path.name, columns, np.arange(1, table.num_rows + 1))


def _arrow_column(column: Any) -> Column:
    import pyarrow

    kind = column.type
    if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind):
        missing = column.is_null(nan_is_null=True).to_numpy()
        return Column(column.fill_null(0).to_numpy(), np.asarray(missing, bool)).whole()
    return from_objects(column.to_pylist()).whole()
