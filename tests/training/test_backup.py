"""A training that broke off goes on from its backup as if nothing had been."""

from __future__ import annotations

import random

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.training import Backup

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype("float32")
Y = {"y": RNG.normal(size=40).astype("float32"), "c": RNG.integers(0, 3, 40).astype("int32")}


class Noise(keras.callbacks.Callback):
    """Draws numbers as a careless callback does."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def on_epoch_end(self, epoch, logs=None):
        self.drawn.append([random.random(), float(np.random.normal())])


def build(width=8, optimizer=None):
    keras.utils.set_random_seed(0)
    model = mtlkeras.build_model(
        (4,),
        mtlkeras.trunks.MLP(width=width, dropout=0.5, normalization="batch"),
        {"y": mtlkeras.heads.Regression(), "c": mtlkeras.heads.Classification(3)},
    )
    model.compile(optimizer or keras.optimizers.Adam(0.05))
    return model


class Training:
    """One process's part of a training, with all that a process makes anew."""

    def __init__(self, path, epochs, patience=3, stops_at=None):
        self.model = build()
        self.stop = keras.callbacks.EarlyStopping("val_y_loss", patience=patience, restore_best_weights=True)
        self.plateau = keras.callbacks.ReduceLROnPlateau("val_loss", patience=1)
        self.noise = Noise()
        callbacks = [self.stop, self.plateau, self.noise]
        self.backup = Backup(path, callbacks, seed=7)
        self.history = None
        if not self.backup.stopped:
            self.history = self.model.fit(
                X,
                Y,
                batch_size=16,
                shuffle=False,
                validation_data=(X[:10], {task: y[:10] for task, y in Y.items()}),
                epochs=stops_at or epochs,
                initial_epoch=self.backup.epoch,
                callbacks=[*callbacks, self.backup],
                verbose=0,
            ).history


def values(model):
    return [keras.ops.convert_to_numpy(v) for v in model.variables]


@pytest.mark.slow
@pytest.mark.parametrize("parts", [(2,), *(pytest.param(p, marks=pytest.mark.slow) for p in ((1,), (2, 5)))])
def test_goes_on_to_the_same_weights_and_logs(tmp_path, parts):
    whole = Training(tmp_path / "whole.npz", 7, patience=99)
    for epochs in parts:
        Training(tmp_path / "parts.npz", 7, patience=99, stops_at=epochs)
    resumed = Training(tmp_path / "parts.npz", 7, patience=99)
    assert resumed.history == whole.history
    assert len(resumed.history["loss"]) == 7
    for mine, theirs in zip(values(resumed.model), values(whole.model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(resumed.model.optimizer.variables, whole.model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(theirs))
    assert resumed.noise.drawn == whole.noise.drawn
    assert (resumed.plateau.wait, resumed.plateau.best) == (whole.plateau.wait, whole.plateau.best)


@pytest.mark.slow
def test_early_stopping_remembers(tmp_path):
    whole = Training(tmp_path / "whole.npz", 40, patience=2)
    length = len(whole.history["loss"])
    assert 3 < length < 40
    Training(tmp_path / "parts.npz", 40, patience=2, stops_at=length - 1)
    resumed = Training(tmp_path / "parts.npz", 40, patience=2)
    assert resumed.history == whole.history
    for mine, theirs in zip(values(resumed.model), values(whole.model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    again = Training(tmp_path / "parts.npz", 40, patience=2)
    assert again.backup.stopped and again.history is None


def test_state_of_another_model_is_refused(tmp_path):
    Training(tmp_path / "state.npz", 1)
    for other in (build(width=9), build(optimizer=keras.optimizers.SGD(0.1, momentum=0.9))):
        with pytest.raises(ValueError, match="another model or optimizer: variable .* there, .* here"):
            other.fit(X, Y, epochs=2, callbacks=[Backup(tmp_path / "state.npz")], verbose=0, initial_epoch=1)
    with pytest.raises(ValueError, match="memory of 3 callbacks; received 0"):
        build().fit(X, Y, epochs=2, callbacks=[Backup(tmp_path / "state.npz")], verbose=0, initial_epoch=1)


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04 cut off"])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "state.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="state.npz is damaged or no state"):
        Backup(path)


def test_failed_write_leaves_the_state_before(tmp_path, monkeypatch):
    path = tmp_path / "state.npz"
    Training(path, 1)
    before = path.read_bytes()

    def full(file, array, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match="No space left"):
        Training(path, 2)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.npz"]
