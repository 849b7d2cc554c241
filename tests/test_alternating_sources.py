"""The warning of batch statistics where sources take turns."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mtlkeras
from mtlkeras._model.batch_statistics import warn_of_batch_statistics
from mtlkeras.data.alternation import alternating_sources, mark_alternating
from mtlkeras.heads import Regression
from mtlkeras.trunks import MLP


class Batches(list):
    """Stands for a `PyDataset`."""


def model_of(normalization):
    return mtlkeras.build_model((2,), MLP(depth=1, width=8, normalization=normalization), {"y": Regression()})


def test_batch_norm_on_alternating_sources_is_warned_of_with_the_remedy():
    marked = mark_alternating(Batches(), ["a", "b"])
    model = model_of("batch")
    with pytest.warns(UserWarning, match=r"\(a, b\).*'hidden_1_norm'.*batch_per_source', sources=2.*'group'"):
        warn_of_batch_statistics(model, marked)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_batch_statistics(model, mark_alternating(Batches(), ["a"]))
        warn_of_batch_statistics(model, np.zeros((3, 2)))
        warn_of_batch_statistics(model_of("group"), marked)
        model.trunk.trainable = False
        warn_of_batch_statistics(model, marked)


@pytest.mark.tensorflow
@pytest.mark.eager
def test_fit_warns_of_a_data_set_made_of_a_marked_one():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensors((np.zeros((2, 2), "float32"), {"y": np.zeros(2, "float32")}))
    data = mark_alternating(data, ["a", "b"]).map(lambda x, y: (x + 1.0, y))
    assert alternating_sources(data) == ("a", "b")
    model = model_of("batch")
    model.compile("sgd")
    with pytest.warns(UserWarning, match="batch_per_source"):
        model.fit(data, verbose=0)
