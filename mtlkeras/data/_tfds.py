"""TensorFlow Datasets as sources: finding, preparing and reading a builder."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras.data._columns import Column, from_array
from mtlkeras.data._options import Options
from mtlkeras.data._progress import track
from mtlkeras.data._splits import base_names
from mtlkeras.data.picture import fit_picture

_CONNECT_SECONDS = 10


def _tfds() -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "TFDS sources need TensorFlow Datasets: pip install tensorflow-datasets."
        ) from error
    return tfds


def named_builder(name: str, data_dir: Any) -> Any:
    """Returns the TFDS builder of a name such as `"mnist"` or `"glue/cola:2.0.0"`."""
    tfds = _tfds()
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        bare = name.split(":")[0].split("/")[0]
        hint = unknown_name("TFDS data set", bare, tfds.list_builders(), "load(source)")
        # TFDS knows more than a thousand names; the nearest says enough.
        text = str(hint).split(" Known ")[0]
        raise ValueError(f"{text} There is no file or folder of that name either.") from error


def builder_in(folder: Path) -> Any:
    """Returns the builder of a prepared TFDS data set in a folder."""
    return _tfds().builder_from_directory(str(folder))


def prepared(builder: Any, verbose: Any) -> Any:
    """Returns the builder with its data on disk; downloads them if they are not.

    Raises:
        ConnectionError: If they must be downloaded and cannot be.
    """
    if builder.is_prepared():
        return builder
    _check_reachable(builder)
    if verbose:
        print(f"Preparing {builder.info.full_name} in {builder.data_path}. This is done once.", flush=True)
    try:
        builder.download_and_prepare()
    except OSError as error:
        if not _is_network(error):
            raise
        raise _not_reached(builder, str(error)) from error
    return builder


def _is_network(error: OSError) -> bool:
    # TFDS downloads with requests, whose errors are no ConnectionError.
    from_requests = type(error).__module__.split(".")[0] in ("requests", "urllib3")
    return from_requests or isinstance(error, (ConnectionError, TimeoutError, urllib.error.URLError))


def _check_reachable(builder: Any) -> None:
    """Asks each server for an answer first: TFDS itself tries for minutes where there is no network."""
    hosts = {
        url.split("/")[2]: url
        for url in (getattr(builder, "url_infos", None) or {})
        if url.startswith("http")
    }
    for host, url in hosts.items():
        try:
            urllib.request.urlopen(
                urllib.request.Request(url, method="HEAD"), timeout=_CONNECT_SECONDS
            ).close()
        except urllib.error.HTTPError:
            continue
        except OSError as error:
            raise _not_reached(builder, f"{host}: {getattr(error, 'reason', error)}") from error


def _not_reached(builder: Any, reason: str) -> ConnectionError:
    return ConnectionError(
        f"The data set '{builder.info.name}' is not in {builder.data_path} and cannot be downloaded "
        f"({reason}). Prepare it where there is a network, and pass that folder as data_dir=."
    )


class Features:
    """The features of a builder that one call of `load` reads.

    Args:
        builder: A prepared TFDS builder.
        names: The features to read; `"a/b"` for one inside another.
        options: Arguments of `load`.

    Raises:
        ValueError: If there is no such feature or split.
    """

    def __init__(self, builder: Any, names: Sequence[str], options: Options) -> None:
        self.builder, self.options = builder, options
        self.split = options.split or "all"
        splits = set(builder.info.splits)
        for name in base_names(self.split):
            if splits and name not in splits | {"all"}:
                raise unknown_name("split", name, sorted(splits), f"split= of TFDS '{builder.info.name}'")
        self.names = {name: self._class_names(name) for name in names}

    def _class_names(self, name: str) -> tuple[str, ...] | None:
        feature = find_feature(self.builder, name)
        return tuple(feature.names) if getattr(feature, "names", None) else None

    def read(self, names: Sequence[str], split: str | None = None, shuffled: bool = False) -> Any:
        """A data set of dicts by feature name, pictures brought to their size."""
        tfds = _tfds()
        config = tfds.ReadConfig(shuffle_seed=self.options.seed, shuffle_reshuffle_each_iteration=False)
        dataset = self.builder.as_dataset(
            split=split or self.split,
            shuffle_files=shuffled,
            read_config=config,
            decoders=tfds.decode.PartialDecoding(_nested(names)),
        )
        flat = dataset.map(lambda example: {name: self._fitted(name, _pick(example, name)) for name in names})
        for name, spec in flat.element_spec.items():
            if spec.shape.rank is None or None in spec.shape.as_list():
                raise ValueError(
                    f"Feature '{name}' of TFDS '{self.builder.info.name}' has the shape {spec.shape}, which "
                    "differs between examples: no batch. Pass image_size=(height, width) for pictures."
                )
        return flat

    def _fitted(self, name: str, value: Any) -> Any:
        if not self.is_picture(name):
            return value
        return fit_picture(value, self.options.image_size, self.options.channels)

    def is_picture(self, name: str) -> bool:
        """Whether a feature is a picture of whole-number pixels."""
        return isinstance(find_feature(self.builder, name), _tfds().features.Image)

    def columns(
        self, names: Sequence[str], split: str | None = None, what: str = "Reading"
    ) -> dict[str, Column]:
        """Reads features of all examples into columns."""
        batches = self.read(names, split).batch(512)
        read = list(track(batches.as_numpy_iterator(), None, what, self.options.verbose))
        if not read:
            raise ValueError(f"split='{self.split}' of TFDS '{self.builder.info.name}' is empty.")
        return self.as_columns({name: np.concatenate([batch[name] for batch in read]) for name in names})

    def as_columns(self, arrays: dict[str, np.ndarray]) -> dict[str, Column]:
        """Makes columns of arrays by feature name."""
        return {name: from_array(array, self.names[name]) for name, array in arrays.items()}


def find_feature(builder: Any, name: str) -> Any:
    """Returns a feature of a builder by name.

    Raises:
        ValueError: If there is none; the message lists those there are.
    """
    feature = builder.info.features
    for part in name.split("/"):
        features = list(feature) if hasattr(feature, "keys") else []
        if part not in features:
            raise unknown_name("feature", part, features, f"TFDS '{builder.info.name}'")
        feature = feature[part]
    return feature


def default_features(builder: Any) -> list[str]:
    """The features that are inputs when the caller names none."""
    supervised = builder.info.supervised_keys
    if supervised and isinstance(supervised[0], str):
        return [supervised[0]]
    kind = _tfds().features.Image
    return [name for name in builder.info.features if isinstance(builder.info.features[name], kind)][:1]


def _nested(names: Sequence[str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in names:
        *outer, last = name.split("/")
        node = tree
        for part in outer:
            node = node.setdefault(part, {})
        node[last] = True
    return tree


def _pick(example: Any, name: str) -> Any:
    for part in name.split("/"):
        example = example[part]
    return example
