"""A part of a training: what trains in it, how, and for how long."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._fields import check_positive
from mtlkeras.balancers import Balancer
from mtlkeras.specs import Spec, spec


@spec
class Phase(Spec):
    """A part of a training: what trains in it, how, and for how long; run by `fit_phases`.

    All that is left out is as the model was compiled. A phase freezes what it does not train, and never
    thaws: what was frozen before `fit_phases`, such as `Pretrained(..., trainable=False)`, stays so.

    Args:
        train: What trains, or a tuple of such: `"all"`; `"trunk"`; `"heads"`, which is all outside of the
            trunk; a task, which is its head; a stage of the trunk; the name of a layer, or of a model within
            the trunk; or a pattern of names with `*`, `?` or `[...]`.
        epochs: Number of epochs, the most if it stops early.
        name: Name in the history; by default what trains.
        optimizer: As for `compile`. Each phase takes a copy, so that none goes on with another's state.
        balancer: As for `compile`; `mtlkeras.balancers.Fixed()` for none. What the model was compiled with
            keeps its memory from phase to phase; one by gradients is left out where nothing trains that tasks
            share.
        data: Name of the data that the phase trains on, where `fit_phases` is given several.
        learning_rate: A number or a `keras.optimizers.schedules.LearningRateSchedule` in place of the
            optimizer's.
        loss_weights: Loss weights by task in place of those that the model was compiled with.
        monitor: What early stopping looks at.
        patience: Epochs without a better value after which the phase ends; `None` for no early stopping.
        restore_best: With `patience`, whether the phase ends with the weights of its best epoch.
        keep_optimizer: Whether the optimizer of the phase before goes on with what it remembers, its count of
            steps included, as far as its variables are trained again. By default it begins anew.
        stage_decay: Layer-wise learning rates (Howard and Ruder 2018, Universal Language Model Fine-tuning
            for Text Classification, 3.2): the last stage's rate is so many times that of the heads, the
            stage's before it so many times that one's, and so on. What belongs to no stage has the heads'
            rate. Steps are scaled, and not gradients, to which Adam is blind; decoupled weight decay too.
        unfreeze_every: Gradual unfreezing (the same, 3.3): the phase begins with what belongs to no stage,
            and after so many epochs each the stages join, from the last one to the first. Between them the
            optimizer goes on. Early stopping counts when all of them train.

    Raises:
        ValueError: If a field does not fit.

    Example:

    ```python
    phases = [
        mtlkeras.training.Phase("all", epochs=2),
        mtlkeras.training.Phase("heads", epochs=1, learning_rate=1e-4, patience=3),
    ]
    ```
    """

    train: str | tuple[str, ...] = "all"
    epochs: int = 1
    name: str | None = None
    optimizer: Any = None
    balancer: Balancer | None = None
    data: str | None = None
    _: dataclasses.KW_ONLY
    learning_rate: Any = None
    loss_weights: Mapping[str, float] | None = None
    monitor: str = "val_loss"
    patience: int | None = None
    restore_best: bool = True
    keep_optimizer: bool = False
    stage_decay: float | None = None
    unfreeze_every: int | None = None

    def validate(self) -> None:
        if not self.train or "" in self.parts:
            raise ValueError(
                f"Phase: train must say what trains, such as 'all', 'heads' or a task; "
                f"received {self.train!r}."
            )
        check_positive(self, "epochs")
        for field in ("patience", "unfreeze_every"):
            if getattr(self, field) is not None:
                check_positive(self, field)
        if self.stage_decay is not None and not 0 < self.stage_decay <= 1:
            raise ValueError(
                f"Phase: stage_decay must be above 0 and at most 1; received {self.stage_decay!r}."
            )
        self._check_optimizer()

    def _check_optimizer(self) -> None:
        if self.optimizer is not None:
            if self.keep_optimizer:
                raise ValueError(
                    "Phase: keep_optimizer=True goes on with the optimizer of the phase before; leave "
                    "optimizer out (learning_rate may be given)."
                )
            try:
                keras.optimizers.get(self.optimizer)
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"Phase: optimizer must be what compile takes, such as 'adam' or "
                    f"keras.optimizers.Adam(1e-3); received {self.optimizer!r}."
                ) from error
        rate = self.learning_rate
        schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
        if rate is not None and not schedule:
            number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
            if not number or not 0 < rate < float("inf"):
                raise ValueError(
                    f"Phase: learning_rate must be a number above 0 or a LearningRateSchedule; "
                    f"received {rate!r}."
                )

    @property
    def parts(self) -> tuple[str, ...]:
        """What trains, as a tuple."""
        return (self.train,) if isinstance(self.train, str) else self.train

    @property
    def title(self) -> str:
        """Its name in the history."""
        return self.name or "+".join(self.parts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Phase):
            return NotImplemented
        return self is other or described(self) == described(other)

    def __hash__(self) -> int:
        return hash((self.train, self.epochs, self.name))

    def __repr__(self) -> str:
        """Writes optimizers and schedules as what makes them again."""
        fields = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                fields.append(f"{field.name}={_written(value)}")
        return f"Phase({', '.join(fields)})"


def _written(value: Any) -> str:
    if isinstance(value, keras.optimizers.Optimizer):
        return f"keras.optimizers.deserialize({keras.optimizers.serialize(value)!r})"
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return f"keras.optimizers.schedules.deserialize({keras.optimizers.schedules.serialize(value)!r})"
    return repr(value)


def described(phase: Phase) -> str:
    """Returns a phase as text, in which tuples and lists are the same; equal for equal phases."""
    config = keras.saving.serialize_keras_object(phase)
    if isinstance(phase.optimizer, keras.optimizers.Optimizer):
        # Keras counts them: the same line of code makes another name the next time.
        config["config"]["optimizer"]["config"].pop("name", None)
    return json.dumps(config, sort_keys=True, default=str)
