"""A loss that is no number ends the training, and the task is named."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.training import StopOnNonFinite


def model(l2=0.0):
    built = mtlkeras.build_model(
        (4,),
        mtlkeras.trunks.MLP(depth=1, width=4, l2=l2),
        {"low": mtlkeras.heads.Regression(), "high": mtlkeras.heads.Regression()},
    )
    built.compile(keras.optimizers.SGD(1e-3))
    return built


def fit(built, x, **options):
    y = {"low": np.zeros(8, "float32"), "high": np.zeros(8, "float32")}
    built.fit(x, y, batch_size=2, epochs=2, verbose=0, shuffle=False, **options)


def test_names_task_epoch_and_step(tmp_path):
    state = tmp_path / "state.npz"

    class Break(keras.callbacks.Callback):
        """Makes the head's weights infinite after the second step."""

        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                state.write_bytes(b"")
                for variable in self.model.trainable_variables:
                    if "high" in variable.path:
                        variable.assign(np.full(variable.shape, np.inf))

    with pytest.raises(FloatingPointError, match=r"loss of task 'high' is NaN.*step 3 of epoch 1.*state.npz"):
        fit(model(), np.ones((8, 4), "float32"), callbacks=[StopOnNonFinite(state), Break()])


def test_silent_while_all_is_finite():
    history = model().fit(
        np.ones((4, 4), "float32"),
        {"low": np.zeros(4, "float32")},
        callbacks=[StopOnNonFinite()],
        verbose=0,
    )
    assert np.isfinite(history.history["loss"]).all()
