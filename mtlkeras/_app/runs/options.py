"""What a run takes from its caller instead of from the recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtlkeras._app.runs.folder import RunFolder
from mtlkeras._backends import is_chief


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What a run takes from its caller instead of from the recipe; `None` means the recipe's.

    Args:
        epochs: Number of epochs.
        batch_size: Examples in a batch.
        seed: Seed of the initial weights, dropout and the like. Splits do not depend on it.
        run_dir: Folder of the run; `None` for the next `runs/<recipe>-N`.
        data_dir: Folder of the data.
        settings: Values of hyperparameters by name.
        tasks: The tasks to train, where the others are left out.
        overwrite: Whether a run in `run_dir` is replaced.
        check_inputs: Whether NaN or infinity in an input is an error.
        watch_gradients: Whether the tasks' gradients are looked at after each epoch, on a batch of the
            validation split.
        on_nan: `"stop"` to end at a loss of NaN or infinity, `"skip"` to undo and count such steps.
        jit: Whether the training step is compiled by XLA; `None` leaves it to Keras.
        steps_per_execution: Training steps between two returns to Python.
        fast: Whether to measure a few steps, and choose `jit` and `steps_per_execution` by that.
        dtype_policy: Keras' dtype policy, such as `"mixed_bfloat16"`.
        strategy: The devices to train on; see `mtlkeras.training.strategy`.
        export: Whether a SavedModel is written.
        pictures: Epochs between two looks at the pictures for TensorBoard, 0 for none; `None` for as
            many looks as take a twentieth of the time.
        verbose: Keras' verbosity: 0 silent, 1 a progress bar, 2 a line an epoch.
    """

    epochs: int | None = None
    batch_size: int | None = None
    seed: int | None = None
    run_dir: str | None = None
    data_dir: str | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tasks: Sequence[str] | None = None
    overwrite: bool = False
    check_inputs: bool = False
    watch_gradients: bool = False
    on_nan: str = "stop"
    jit: bool | None = None
    steps_per_execution: int | None = None
    fast: bool = False
    dtype_policy: str | None = None
    strategy: str | None = None
    export: bool = True
    pictures: int | None = None
    verbose: int = 2

    def to_config(self) -> dict[str, Any]:
        """Returns what a run must keep to go on as it began."""
        config = {n: v for n, v in dataclasses.asdict(self).items() if n not in _NOT_KEPT}
        if self.data_dir is not None:
            config["data_dir"] = str(Path(self.data_dir).resolve())
        config["tasks"] = None if self.tasks is None else list(self.tasks)
        return {**config, "settings": {name: str(value) for name, value in self.settings.items()}}

    def continued(self, run: RunFolder) -> TrainOptions:
        """Returns the options with which a run that broke off goes on: those it began with.

        What is given here must be the same. The folder of the data may have moved.

        Raises:
            ValueError: If an option differs; it is named.
        """
        before, now = run.config["options"], self.to_config()
        for field in dataclasses.fields(self):
            name = field.name
            first = before.get(name)
            if name in _NOT_KEPT or name == "data_dir" or now[name] in (first, _default(field)):
                continue
            raise ValueError(
                f"The run in {run} began with {name}={first!r} and cannot go on with {now[name]!r}. "
                "Leave it out, or train into another --run-dir."
            )
        here = {n: getattr(self, n) for n in _NOT_KEPT} | {"run_dir": str(run), "overwrite": False}
        return TrainOptions(**{**before, **here, "data_dir": self.data_dir or before["data_dir"]})


# What concerns this process only.
_NOT_KEPT = ("run_dir", "overwrite", "verbose", "fast", "pictures")


def _default(field: dataclasses.Field) -> Any:
    return {} if field.default is dataclasses.MISSING else field.default


def writes_files(options: TrainOptions) -> bool:
    """Whether this process writes the run's files: the only one, or the first of several."""
    return options.strategy != "multi_worker" or is_chief()
