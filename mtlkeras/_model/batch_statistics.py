"""A warning of batch statistics that are of other sources in training than in inference."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from mtlkeras._keras_private import all_layers
from mtlkeras.data.alternation import alternating_sources


def warn_of_batch_statistics(model: Any, dataset: Any) -> None:
    """Warns of batch normalisation, where each batch of a data set is of one of several sources.

    A batch is then normalised by the statistics of its own source in training, and by the mean over all
    sources in inference. Frozen layers have the same ones in both.

    Args:
        model: The model that is going to be trained.
        dataset: What it is trained on; only data sets that are marked by
            `mtlkeras.data.alternation.mark_alternating` alternate.
    """
    sources = alternating_sources(dataset)
    names = [
        layer.name
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if len(sources) < 2 or not names:
        return
    warnings.warn(
        f"Batches of one source each ({', '.join(sources)}) train batch normalisation ({len(names)} layers, "
        f"'{names[0]}' the first): its statistics are those of one source in training and those of all in "
        f"inference. Give the trunk normalization='batch_per_source', sources={len(sources)} and an input "
        "'source', or normalization='group', or mix the sources within the batches.",
        stacklevel=3,
    )
