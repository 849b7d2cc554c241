"""Finds out what a source is, and opens it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mtlkeras._errors import near_match
from mtlkeras._types import ArrayLike, PathLike
from mtlkeras.data._arrays import from_arrays, open_arrays
from mtlkeras.data._images import has_labels, open_pictures
from mtlkeras.data._options import Options
from mtlkeras.data._table import SUFFIXES, from_frame, is_table, read_table
from mtlkeras.data.idx import find_idx, idx_folder, open_idx

if TYPE_CHECKING:
    import pandas as pd
    import tensorflow_datasets as tfds


Source: TypeAlias = (
    "PathLike | Mapping[str, ArrayLike] | tuple[Any, Any] | pd.DataFrame | tfds.core.DatasetBuilder"
)
"""What `load` loads from: a name or path, arrays by name, a pair `(x, y)`, a data frame, a TFDS builder."""


def open_source(source: Source, options: Options) -> Any:
    """Opens a source.

    Returns:
        `Rows`, or a prepared TFDS builder.

    Raises:
        ValueError: If it is none of the kinds of source.
        FileNotFoundError: If it names a file that is not there.
    """
    if isinstance(source, (str, os.PathLike)):
        return _open_named(source, options)
    _refuse_labels(options, "arrays, data frames and TFDS builders")
    if hasattr(source, "as_dataset") and hasattr(source, "info"):
        from mtlkeras.data._tfds import prepared

        return prepared(source, options.verbose)
    if hasattr(source, "columns") and hasattr(source, "iloc"):
        return from_frame(source)
    if isinstance(source, (Mapping, tuple)):
        return from_arrays(source)
    if isinstance(source, (list, np.ndarray)):
        raise ValueError(
            "Arrays are given as a pair (x, y) or as a dict by name, so that the labels can be told apart."
        )
    raise ValueError(
        "source must be a TFDS name or builder, a folder or zip file of pictures, a table file, "
        f"a data frame, or arrays; received {type(source).__name__}."
    )


def _open_named(source: Any, options: Options) -> Any:
    path = _find_path(source, options.data_dir)
    if path is not None:
        return _open_path(path, options)
    name = os.fspath(source)
    if (
        isinstance(source, os.PathLike)
        or Path(name).suffix.lower() in (".zip", ".gz", ".npz")
        or is_table(Path(name))
    ):
        raise FileNotFoundError(f"No file or folder '{name}'.{_near_file(Path(name))}")
    _refuse_labels(options, "TFDS data sets")
    files = find_idx(name, options.data_dir)
    if files:
        return open_idx(name, files)
    from mtlkeras.data._tfds import named_builder, prepared

    return prepared(named_builder(name, options.data_dir), options.verbose)


def _open_path(path: Path, options: Options) -> Any:
    if path.is_dir() and (path / "dataset_info.json").is_file():
        from mtlkeras.data._tfds import builder_in

        return builder_in(path)
    files = idx_folder(path)
    if files:
        return open_idx(path.name.replace("-", "_"), files)
    if path.is_dir() or path.suffix.lower() == ".zip":
        named = options.split_column if options.split is not None else None
        return open_pictures(path, options.labels, options.image_column, options.on_error, named)
    if path.suffix.lower() == ".npz":
        _refuse_labels(options, "files of arrays")
        return open_arrays(path)
    _refuse_labels(options, "tables")
    if is_table(path) or options.columns is not None:
        return read_table(path, options.on_error, options.columns, options.quotes)
    raise ValueError(
        f"Cannot tell what {path.name} is: expected a folder, .zip, .npz or one of {', '.join(SUFFIXES)}; "
        "a file of any name with one token a line is read with columns=."
    )


def _find_path(source: Any, data_dir: Any) -> Path | None:
    """The path of a source on disk: as given, or in the data folder."""
    if Path(source).exists():
        return Path(source)
    for root in (data_dir, os.environ.get("MTLKERAS_DATA")):
        # TFDS keeps folders named like its data sets there, which are not meant.
        if root and ((Path(root) / source).is_file() or has_labels(Path(root) / source)):
            return Path(root) / source
    return None


def _near_file(path: Path) -> str:
    return near_match(path.name, os.listdir(path.parent)) if path.parent.is_dir() else ""


def _refuse_labels(options: Options, what: str) -> None:
    if options.labels is not None or options.image_column is not None:
        raise ValueError(
            f"labels= and image_column= are for folders and zip files of pictures, not for {what}."
        )
