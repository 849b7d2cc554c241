"""`load`: from any source to a data set of inputs and labels by task."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mtlkeras._types import PathLike
from mtlkeras.data._from_rows import load_rows
from mtlkeras.data._from_tfds import load_tfds
from mtlkeras.data._options import Options
from mtlkeras.data._rows import Rows
from mtlkeras.data._source import Source, open_source
from mtlkeras.data.doubts import DataWarning
from mtlkeras.data.labels import Label, label_specs
from mtlkeras.data.report import LoadReport, describe
from mtlkeras.text import TextEncoder

if TYPE_CHECKING:
    import tensorflow as tf


def load(
    source: Source,
    tasks: Mapping[str, str | Sequence[str] | Label],
    inputs: str | Sequence[str] | Mapping[str, Any] | None = None,
    *,
    split: str | None = None,
    split_column: str = "split",
    fractions: Mapping[str, float] | None = None,
    group_column: str | None = None,
    labels: PathLike | None = None,
    image_column: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    vocabularies: Mapping[str, Sequence[Any] | TextEncoder] | None = None,
    fill: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    quotes: bool = True,
    tokenize: Mapping[str, str] | None = None,
    max_length: int | None = None,
    truncate: bool = False,
    group_by_length: bool = False,
    pad_multiple: int = 1,
    batch_size: int = 32,
    drop_remainder: bool = False,
    shuffle: bool | None = None,
    seed: int = 0,
    cache: bool | PathLike = False,
    prefetch: int | None = None,
    num_parallel: int | None = None,
    data_dir: PathLike | None = None,
    on_error: str = "raise",
    check_finite: bool = False,
    verbose: bool | str = "auto",
) -> tf.data.Dataset:
    """Loads a data set of `(inputs, {task: labels})` in batches.

    Args:
        source: One of
            a TFDS name (`"fashion_mnist"`, `"mnist:3.*.*"`), builder, or folder of a
            prepared data set; MNIST, Fashion-MNIST and KMNIST are also read from their IDX
            files without network, where `find_idx` finds them;
            a folder or `.zip` of pictures with a table of labels;
            a table, `.csv`, `.tsv`, `.json`, `.jsonl` (each also `.gz`) or `.parquet`;
            a file with one token a line, `.conllu`, or of any name with `columns` (also `.gz`);
            a pandas data frame;
            NumPy arrays, as a dict by name, an `.npz` file, or a pair `(x, y)` of arrays or dicts.
        tasks: For each task the name of its label's column or feature, a list of columns
            for a multi-label, or a `Label`.
        inputs: Name of the one input; a list of names for a dict of inputs; or a dict that
            maps input names to columns, where a list of columns makes one vector. `None`
            takes the picture, what TFDS calls the input, or all arrays that are no labels;
            a table has no default. Numbers come as `(batch, 1)`, words as `(batch,)`,
            pictures as `uint8` `(batch, height, width, channels)`. In pictures with a
            table, the picture is called `"image"`. Lists of words are tokens: strings
            `(batch, time)`, where `""` fills up the end of shorter sentences.
        split: Name of the split, also with a slice (`"train[:90%]"`) or several joined by
            `+`. `None` takes everything. Splits come from TFDS, from `split_column`, or
            from `fractions`.
        split_column: Column that names the split of each row.
        fractions: Share of each split by name, such as `{"train": 0.8, "test": 0.2}`. Rows
            are divided by a hash of the file's name or the row's number, and the seed.
        group_column: With `fractions`: rows equal in this column stay in one split.
        labels: Table of labels for pictures; `None` for `labels.csv` (`.json`, ...) in the
            folder or beside the zip file.
        image_column: Column of file names; endings and folders may be left out. `None`
            for the first of image, file, filename, file_name, path, id.
        image_size: `(height, width)` or one number, in pixels, that pictures are resized
            to (bilinear, antialiased, the aspect is not kept). See `read_pictures` for how
            files are decoded.
        channels: 1, 3 or 4, that pictures are converted to.
        vocabularies: Words by input column; the column becomes `int32` positions among
            them, -1 for a missing or unknown word. See `table_statistics`. A `TextEncoder`
            makes the ids of tokens of texts or tokens, as its `encode`.
        fill: By input column what stands for an empty cell: a number or a word, such as
            `table_statistics(...).mean` of the training rows. Without it an empty cell in an input
            of numbers is an error; `float("nan")` passes NaN on to a model that knows it.
        columns: Names of the columns of a file with one token a line and an empty line after
            each sentence; comments `# key = value` before a sentence are columns too. CoNLL-U
            has its own: id, form, lemma, upos, xpos, feats, head, deprel, deps, misc.
        quotes: Whether quotation marks in `.csv` and `.tsv` enclose cells.
        tokenize: By input column of texts, what its tokens are, as `TextEncoder.split`; without
            it a text comes whole.
        max_length: Largest number of tokens. A longer sentence is an error, or with
            `truncate=True` it is cut, its tags too, and counted in the report.
        truncate: Whether to cut sentences.
        group_by_length: Whether the batches of a shuffled data set hold sentences of like
            length, so that they pad little. Other data sets keep their order.
        pad_multiple: Batches are padded to a multiple of this length, so that a model that is
            compiled for each length, as on JAX, is compiled for few.
        batch_size: Examples in a batch.
        drop_remainder: Whether to leave out a last batch that is not full.
        shuffle: Whether to shuffle, anew in each epoch; `None` shuffles splits whose name
            begins with "train". The order is a function of seed and epoch. It is a full
            shuffle, except for TFDS without `cache`: there within a buffer of 256 MB.
        seed: Seed of shuffling and of `fractions`.
        cache: `True` decodes everything once and keeps it in memory; a folder also keeps
            it there for the next run.
        prefetch: Batches to prepare ahead; `None` adapts.
        num_parallel: Pictures to decode at a time; `None` adapts.
        data_dir: Folder of TFDS, and where relative names of files are looked up, before
            the one in the environment variable `MTLKERAS_DATA`.
        on_error: `"raise"`, or `"skip"` to leave out pictures and rows that cannot be
            read, and rows with empty cells in inputs of numbers. They are counted and named in
            the report; pictures are then all decoded once before the first batch.
        check_finite: Whether NaN or infinity in an input is an error that names it.
        verbose: `"auto"` shows a progress bar for long work on a terminal; `True` also
            prints what was found; `False` is silent.

    Returns:
        A `tf.data.Dataset`. Class and multi-labels are `int32`, with `-1` where missing, tags
        `int32` `(batch, time)`, with `-1` where missing and after the end, masks `int32` `(batch, height,
        width)`; numbers are
        `float32`, with NaN where missing. `describe(dataset)` tells what was
        found, and which kinds of label were guessed from what.

    Warns:
        DataWarning: If labels may be meant otherwise than they were read, such as `N/A` that is a
            class, or training lacks a class; once for each such thing, with what to do. They are in
            the report too.

    Raises:
        ValueError: If a column, feature or split does not exist, a label is not among its
            classes, or a file or row cannot be read; the message names it. What is decoded
            only while training raises `tf.errors.InvalidArgumentError` with that message.
        FileNotFoundError: If a file is not there.
        ConnectionError: If a TFDS data set must be downloaded and cannot be.

    Example:

    ```python
    x = np.random.rand(100, 8).astype("float32")
    y = {"digit": np.arange(100) % 10, "size": np.random.rand(100)}
    train = mtlkeras.data.load((x, y), {"digit": "digit", "size": "size"}, shuffle=True)

    with open("people.csv", "w") as file:
        file.write("age,job,income,split\\n31,cook,low,train\\n45,?,high,train\\n28,,low,test\\n")
    train = mtlkeras.data.load(
        "people.csv",
        tasks={"income": "income", "job": mtlkeras.data.Label("job", missing=["?"])},
        inputs=["age"],
        split="train",
    )
    print(mtlkeras.data.describe(train))
    ```
    """
    options = Options.of(locals())
    opened = open_source(source, options)
    read = load_rows if isinstance(opened, Rows) else load_tfds
    dataset = read(opened, label_specs(tasks), inputs, options)
    _tell(describe(dataset), options)
    return dataset


def _tell(report: LoadReport, options: Options) -> None:
    """Warns of what is doubtful in a data set, at the line that called `load`, and prints what was found."""
    for doubt in report.warnings:
        warnings.warn(doubt, DataWarning, stacklevel=3)
    if options.verbose is True:
        print(report, flush=True)
