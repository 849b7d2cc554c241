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


def weights_of(built):
    return [np.asarray(v) for v in (*built.variables, *built.optimizer.variables)]


@pytest.mark.parametrize("broken", [[3], [0, 2]])
def test_a_skipped_step_leaves_no_trace(broken):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 4)).astype("float32"), rng.normal(size=10).astype("float32")
    x[[2 * batch for batch in broken]] = np.inf

    def fit(rows):
        keras.utils.set_random_seed(1)
        trunk = mtlkeras.trunks.MLP(depth=1, width=4, normalization="batch")
        built = mtlkeras.build_model((4,), trunk, {"y": mtlkeras.heads.Regression(metrics=("mae",))})
        built.compile(keras.optimizers.Adam(0.1))
        built.skip_non_finite = True
        watch = StopOnNonFinite()
        history = built.fit(
            x[rows], {"y": y[rows]}, batch_size=2, shuffle=False, verbose=0, callbacks=[watch]
        )
        return built, history.history

    left = [row for row in range(10) if row // 2 not in broken]
    skipping, logs = fit(np.arange(10))
    without, expected = fit(left)
    assert logs.pop("skipped_steps") == [len(broken)] and expected.pop("skipped_steps") == [0]
    for name, value in expected.items():
        np.testing.assert_allclose(logs[name], value, rtol=1e-6)
    for ours, theirs in zip(weights_of(skipping), weights_of(without), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_an_epoch_of_skipped_steps_only_ends_the_training():
    built = model()
    built.skip_non_finite = True
    with pytest.raises(FloatingPointError, match="All 4 steps of epoch 1 gave NaN or infinity"):
        fit(built, np.full((8, 4), np.nan, "float32"), callbacks=[StopOnNonFinite()])


def test_skipping_is_set_after_compile():
    built = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    with pytest.raises(ValueError, match="skip_non_finite is set after compile"):
        built.skip_non_finite = True
