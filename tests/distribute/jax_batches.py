"""Trains on one JAX device and on two, in batches that two devices cannot share alike.

`python -m tests.distribute.jax_batches` prints the largest difference of a weight by case.
"""

from __future__ import annotations

import contextlib
import json

import keras
import numpy as np

import mtlkeras
from mtlkeras.heads import Classification, Regression
from tests.support import examples, tiny_model

# Batch size, whether to shuffle, whether the model has batch normalisation.
CASES = {"odd_batches": (5, True, False), "batch_norm": (6, False, True)}


def small_model(**compile_args):
    return tiny_model({"kind": Classification(3), "size": Regression(num_targets=2)}, **compile_args)


def train(scope, batch_size, shuffle, normalised):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    x, y = examples(13, missing=0.3, seed=1)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    with scope:
        if normalised:
            trunk = mtlkeras.trunks.MLP(depth=1, width=8, normalization="batch")
            model = mtlkeras.build_model((36,), trunk, {"kind": Classification(3)})
            model.compile(optimizer)
            x, y = x.reshape(13, 36), {"kind": y["kind"]}
        else:
            model = small_model(optimizer=optimizer)
            y = {task: y[task] for task in model.heads}
    model.fit(x, y, batch_size=batch_size, epochs=3, shuffle=shuffle, verbose=0)  # Outside of the scope.
    return [*model.get_weights(), *model.predict(x, batch_size=batch_size, verbose=0).values()]


def difference(case):
    alone = train(contextlib.nullcontext(), *CASES[case])
    together = train(keras.distribution.DataParallel().scope(), *CASES[case])
    return max(float(np.abs(a - b).max()) for a, b in zip(alone, together, strict=True))


def parts():
    """On how many devices the outputs of a batch lie."""
    with keras.distribution.DataParallel().scope():
        model = small_model()
    model.predict(examples(4)[0], verbose=0)
    state = tuple([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables))
    outputs, _ = model.predict_function(state, iter([(examples(4)[0],)]))
    shards = outputs["kind"].addressable_shards
    return [len(shards), shards[0].data.shape[0]]


if __name__ == "__main__":
    print(json.dumps({"parts": parts(), **{case: difference(case) for case in CASES}}))
