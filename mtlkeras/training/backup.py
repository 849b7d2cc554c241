"""The whole state of a training on disk, so that a killed one goes on as if nothing had been."""

from __future__ import annotations

import inspect
import itertools
import json
import random
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtlkeras._files import save_arrays, written_aside
from mtlkeras._types import Dataset, Logs, PathLike

FORMAT = 1
_INFO = "info"


class Backup(keras.callbacks.Callback):
    """Keeps the state of training after each epoch, and takes it up again in a later process.

    A training that was killed and goes on from its backup ends with the weights and logs of one
    that was not. Unlike `keras.callbacks.BackupAndRestore` it keeps the state of dropout and
    other seeds, the memory of other callbacks (what is best so far, how long to wait), the logs
    of the epochs before, and the order of examples: each epoch's order is a function of the
    data set's seed and the epoch.

    What a data set or callback draws from `random` or `numpy.random` depends on `seed` and the
    epoch only, if a seed is given. On a GPU, exactness needs
    `tf.config.experimental.enable_op_determinism()`.

    Args:
        path: The file to keep the state in. It is replaced in one step after each epoch.
        callbacks: The other callbacks of the fit, whose memory is kept. Pass the backup to `fit`
            after them.
        dataset: The training data set, if it was made by `mtlkeras.data.load` or `mix`.
        seed: Seeds `random` and `numpy.random` at the start of each epoch; `None` leaves them.

    Attributes:
        notes: What is kept beside the state, a dict for JSON; what the file holds, if there is one.
        epoch: Number of epochs that the file holds; pass it to `fit` as `initial_epoch`.
        stopped: Whether a callback had ended the training; there is nothing left to do then.

    Raises:
        ValueError: If the file is damaged, or at `fit` if it belongs to another model.

    Example:

    ```python
    train = mtlkeras.data.load({"x": np.ones((9, 4)), "y": np.arange(9.0)}, {"y": "y"}, "x")
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model.compile("adam")
    stop = keras.callbacks.EarlyStopping("loss", patience=3)
    backup = mtlkeras.training.Backup("training_state.npz", [stop], train)
    if not backup.stopped:
        model.fit(train, epochs=5, initial_epoch=backup.epoch, callbacks=[stop, backup], verbose=0)
    ```
    """

    def __init__(
        self,
        path: PathLike,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        dataset: Dataset | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._path = Path(path)
        self._callbacks = list(callbacks)
        self._dataset = dataset
        self._seed = seed
        self._logs: list[dict[str, float]] = []
        self.notes: dict[str, Any] = {}
        self.epoch, self.stopped = 0, False
        if self._path.exists():
            info = _read(self._path)[0]
            self.epoch, self.stopped = info["epoch"], info["stopped"]
            self.notes = info.get("notes", {})

    def begin_anew(self, notes: Mapping[str, Any] | None = None) -> None:
        """Takes no state up: the file, if there is one, is that of a training before this one.

        Args:
            notes: What is kept beside the state from now on.
        """
        self.notes, self.epoch, self.stopped = dict(notes or {}), 0, False

    def on_train_begin(self, logs: Logs = None) -> None:
        # After the other callbacks have reset their memory: this one comes last.
        if self.epoch:
            self._restore()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        if self._seed is not None:
            drawn = np.random.SeedSequence([self._seed, epoch]).generate_state(2)
            random.seed(int(drawn[0]))
            np.random.seed(drawn[1])
        if self._dataset is not None:
            from mtlkeras.data import set_epoch

            set_epoch(self._dataset, epoch)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._logs.append({name: float(value) for name, value in (logs or {}).items()})
        arrays = {f"variable_{i}": _array(v) for i, v in enumerate(state_of(self.model))}
        info = {
            "format": FORMAT,
            "epoch": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "notes": self.notes,
            "variables": [_described(v) for v in state_of(self.model)],
            "logs": self._logs,
            "mixtures": [mixture.state() for mixture in self._mixtures()],
            "callbacks": [_memory(c, f"callback_{i}", arrays) for i, c in enumerate(self._callbacks)],
        }
        arrays[_INFO] = np.array(json.dumps(info))
        with written_aside(self._path) as part, part.open("wb") as file:
            save_arrays(file, arrays)

    def on_train_end(self, logs: Logs = None) -> None:
        history = getattr(self.model, "history", None)
        if history is not None:
            history.epoch = list(range(len(self._logs)))
            history.history = {
                name: [logs[name] for logs in self._logs if name in logs]
                for name in dict.fromkeys(name for logs in self._logs for name in logs)
            }

    def _restore(self) -> None:
        info, arrays = _read(self._path)
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        variables = state_of(self.model)
        mine, theirs = [_described(v) for v in variables], info["variables"]
        if mine != theirs:
            saved, own = next((b, a) for a, b in itertools.zip_longest(mine, theirs) if a != b)
            raise ValueError(
                f"{self._path} holds the state of another model or optimizer: {_spoken(saved)} there, "
                f"{_spoken(own)} here."
            )
        if len(info["callbacks"]) != len(self._callbacks):
            raise ValueError(
                f"{self._path} holds the memory of {len(info['callbacks'])} callbacks; "
                f"received {len(self._callbacks)}."
            )
        for i, variable in enumerate(variables):
            variable.assign(arrays[f"variable_{i}"])
        for callback, memory in zip(self._callbacks, info["callbacks"], strict=True):
            for name, value in memory.items():
                setattr(callback, name, _revived(value, arrays))
        for mixture, state in zip(self._mixtures(), info.get("mixtures", ()), strict=False):
            mixture.restore(state)
        self._logs = info["logs"]

    def _mixtures(self) -> list[Any]:
        """Returns what remembers losses in the data set: mixes of several."""
        if self._dataset is None:
            return []
        from mtlkeras.data._mix.mixture import find_mixtures

        return find_mixtures(self._dataset)


def state_of(model: keras.Model) -> list[Any]:
    """Returns the variables of all that training changes: of weights, seeds and the optimizer."""
    return [*model.trainable_variables, *model.non_trainable_variables, *model.optimizer.variables]


def _array(variable: Any) -> np.ndarray:
    if str(variable.dtype) == "bfloat16":
        variable = keras.ops.cast(variable, "float32")  # NumPy's files do not know the type.
    return keras.ops.convert_to_numpy(variable)


def _spoken(described: list[Any] | None) -> str:
    if described is None:
        return "no further variable"
    name, shape, dtype = described
    return f"variable '{name}' of shape {tuple(shape)} and type {dtype}"


def _described(variable: Any) -> list[Any]:
    # Without its path, which counts the models made before in the process.
    return [variable.name, list(variable.shape), str(variable.dtype)]


def _memory(callback: Any, key: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns what a callback remembers, as JSON; puts what is large into `arrays`.

    That is each public attribute which is no argument of its constructor.
    """
    arguments = {name for c in type(callback).__mro__ for name in inspect.signature(c).parameters}
    memory = {}
    for name, value in vars(callback).items():
        if name.startswith("_") or name in arguments:
            continue
        try:
            memory[name] = _stored(value, f"{key}_{name}", arrays)
        except TypeError:
            continue  # A function or the like, which the constructor makes anew.
    return memory


def _stored(value: Any, key: str, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {"dict": {k: _stored(v, f"{key}_{k}", arrays) for k, v in value.items()}}
    if isinstance(value, list):
        return [_stored(v, f"{key}_{i}", arrays) for i, v in enumerate(value)]
    if isinstance(value, (np.ndarray, np.generic)) or keras.ops.is_tensor(value):
        arrays[key] = keras.ops.convert_to_numpy(value)
        return {"array": key}
    raise TypeError(type(value))


def _revived(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_revived(v, arrays) for v in value]
    if isinstance(value, dict) and "dict" in value:
        return {k: _revived(v, arrays) for k, v in value["dict"].items()}
    return arrays[value["array"]] if isinstance(value, dict) else value


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        with path.open("rb") as file, np.load(file) as archive:
            arrays = dict(archive)
        info = json.loads(str(arrays.pop(_INFO)))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged or no state of a training: {error}") from error
    if info["format"] != FORMAT:
        raise ValueError(f"{path} has format {info['format']}; this version reads format {FORMAT}.")
    return info, arrays
