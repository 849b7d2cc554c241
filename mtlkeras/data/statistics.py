"""Means, scales and vocabularies of a table's columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mtlkeras._types import PathLike
from mtlkeras.data._columns import distinct, numbers
from mtlkeras.data._options import Options
from mtlkeras.data._rows import Rows
from mtlkeras.data._source import Source, open_source
from mtlkeras.data._splits import choose_rows


@dataclasses.dataclass(frozen=True)
class TableStatistics:
    """What a model of a table must know of its columns.

    Args:
        mean: Mean of each number column by name, over the entries that are there.
        scale: Its standard deviation (population); 1 for a constant column.
        vocabularies: The words of each category column by name, sorted.

    They fit the fields of the MLP trunk: `MLP(mean=found.mean, scale=found.scale,
    categories=found.vocabularies)`, where the inputs are called like the columns.
    """

    mean: Mapping[str, float]
    scale: Mapping[str, float]
    vocabularies: Mapping[str, tuple[str, ...]]


def table_statistics(
    source: Source,
    numbers: Sequence[str] = (),
    categories: Sequence[str] = (),
    *,
    split: str | None = None,
    split_column: str = "split",
    fractions: Mapping[str, float] | None = None,
    group_column: str | None = None,
    seed: int = 0,
    data_dir: PathLike | None = None,
    on_error: str = "raise",
) -> TableStatistics:
    """Computes means, scales and vocabularies of a table, from its training split.

    Args:
        source: A table file, data frame or dict of arrays, as in `load`.
        numbers: Names of number columns.
        categories: Names of category columns.
        split: The split to compute from; `None` for all rows. This and the following
            arguments are those of `load`.
        split_column: Column that names the split of each row.
        fractions: Share of each split by name.
        group_column: Column whose equal rows stay in one split.
        seed: Seed of the division by `fractions`.
        data_dir: Folder that holds the source.
        on_error: `"raise"` or `"skip"`.

    Raises:
        ValueError: If a column is not there, or a number column holds a word.

    Example:

    ```python
    people = {"age": [20.0, 40.0], "job": ["cook", ""]}
    found = mtlkeras.data.table_statistics(people, numbers=["age"], categories=["job"])
    found.mean["age"], found.scale["age"], found.vocabularies["job"]  # (30.0, 10.0, ('cook',))
    ```
    """
    rows = open_source(source, Options(data_dir=data_dir, on_error=on_error))
    if not isinstance(rows, Rows):
        raise ValueError("table_statistics needs a table, a data frame or a dict of arrays as its source.")
    rows = rows.take(choose_rows(rows, split, split_column, fractions, group_column, seed))
    summaries = {name: _mean_and_scale(rows, name) for name in numbers}
    return TableStatistics(
        {name: mean for name, (mean, _) in summaries.items()},
        {name: scale for name, (_, scale) in summaries.items()},
        {name: tuple(distinct(rows.column(name, "categories=").typed())) for name in categories},
    )


def _mean_and_scale(rows: Rows, name: str) -> tuple[float, float]:
    try:
        values = numbers(rows.column(name, "numbers=").typed())
    except ValueError as error:
        if len(error.args) < 2:
            raise
        raise ValueError(f"Column '{name}': {error.args[0]}, in {rows.row_name(error.args[1])}.") from error
    if np.isnan(values).all():
        raise ValueError(f"Column '{name}' of {rows.name} has no number at all.")
    scale = float(np.nanstd(values))
    return float(np.nanmean(values)), scale if scale > 0 else 1.0
