"""A task that no longer gets better stops by itself, and the others go on."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._model.parts import Parts
from mtlkeras.training import Backup, EarlyStoppingPerTask
from tests.support import EAGERLY

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 4)).astype("float32")
Y = {"a": X.sum(1), "b": RNG.normal(size=16).astype("float32")}
NOISE = {"a": X.sum(1), "b": -Y["b"]}  # What is learnt of b makes its validation worse.


def build(**arguments):
    keras.utils.set_random_seed(0)
    heads = {task: mtlkeras.heads.Regression() for task in Y}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=1, width=8), heads)
    optimizer = keras.optimizers.AdamW(0.05, weight_decay=0.1)
    model.compile(optimizer, run_eagerly=EAGERLY, **arguments)
    return model


class Heads(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        parts = Parts(self.model)
        names = {**parts.by_task, "trunk": parts.trunk}
        self.seen.append({n: [w for layer in v for w in layer.get_weights()] for n, v in names.items()})


def fit(model, stop, epochs=6, more=(), **arguments):
    heads = Heads()
    callbacks = [stop, heads, *more]
    history = model.fit(
        X, Y, batch_size=16, shuffle=False, validation_data=(X, NOISE), epochs=epochs, verbose=0,
        callbacks=callbacks, **arguments,
    )  # fmt: skip
    return heads.seen, history.history


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "balancer", [None, pytest.param(mtlkeras.balancers.PCGrad(), marks=pytest.mark.slow)]
)
def test_a_stopped_task_keeps_its_best_head_and_moves_nothing(balancer):
    model, stop = build(balancer=balancer), EarlyStoppingPerTask(patience=2)
    seen, history = fit(model, stop)
    best = int(np.argmin(history["val_b_loss"]))
    assert stop.stopped == {"b": best + 2}
    assert stop.best["b"] == min(history["val_b_loss"][: best + 1])
    for epoch in range(best + 2, 6):
        assert same(seen[epoch]["b"], seen[best]["b"])
    assert not same(seen[-1]["a"], seen[-2]["a"]) and not same(seen[-1]["trunk"], seen[-2]["trunk"])
    # Only what moves the trunk: as one step without labels of the other task.
    assert history["val_a_loss"][-1] < history["val_a_loss"][best]
    np.testing.assert_array_equal(model._compile_metrics.loss_factors, [1.0, 1.0])


@pytest.mark.slow_on_jax
def test_its_loss_counts_a_part():
    """The gradient is that of loss weights times the factor."""

    class FromTheStart(EarlyStoppingPerTask):
        def on_epoch_begin(self, epoch, logs=None):
            self.stopped["b"] = 0
            super().on_epoch_begin(epoch, logs)

    stopping, weighted = build(), build(loss_weights={"b": 0.25})
    fit(stopping, FromTheStart(tasks="b", factor=0.25), 1)
    weighted.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(stopping.get_weights(), weighted.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.slow
def test_it_goes_on_from_a_backup(tmp_path):
    whole, stop = build(), EarlyStoppingPerTask(patience=1)
    fit(whole, stop, 4)
    for epochs in (2, 4):
        model, again = build(), EarlyStoppingPerTask(patience=1)
        backup = Backup(tmp_path / "state.npz", [again])
        fit(model, again, epochs, [backup], initial_epoch=backup.epoch)
    assert again.stopped == stop.stopped and again.best == stop.best
    assert same(model.get_weights(), whole.get_weights())


@pytest.mark.slow_on_jax
def test_all_tasks_stop_the_training():
    model, stop = build(), EarlyStoppingPerTask(patience=1, min_delta=1e9, restore_best=False)
    _, history = fit(model, stop)
    assert len(history["loss"]) == 2 and stop.stopped == {"a": 1, "b": 1}


@pytest.mark.slow_on_jax
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tasks": ["c"]}, "Unknown task 'c' in tasks of EarlyStoppingPerTask"),
        ({"monitor": {"a": "val_a_lost"}}, "Unknown value 'val_a_lost' in monitor of task 'a'. Did you mean"),
        ({"monitor": {"a": "val_a_r2"}, "mode": {"z": "max"}}, "Unknown task 'z' in mode"),
    ],
)
def test_what_it_cannot_watch(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(build(), EarlyStoppingPerTask(**arguments), 1)


@pytest.mark.slow_on_jax
def test_arguments():
    for bad in ({"patience": 0}, {"factor": 1}, {"min_delta": -1}, {"mode": {"a": "up"}}):
        with pytest.raises(ValueError, match=f"EarlyStoppingPerTask: {next(iter(bad))}"):
            EarlyStoppingPerTask(**bad)
    with pytest.raises(ValueError, match="not in the logs of epoch 1. Values of validation"):
        build().fit(X, Y, verbose=0, callbacks=[EarlyStoppingPerTask()])
