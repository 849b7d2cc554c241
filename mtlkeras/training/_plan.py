"""From phases to what is done: every phase is looked at before any trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from mtlkeras._balancing.graph import shared_layers
from mtlkeras._errors import unknown_name
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.parts import Parts
from mtlkeras._model.recompiling import Compilation
from mtlkeras.balancers import Balancer
from mtlkeras.balancers.base import GradientBalancer
from mtlkeras.training._layerwise import rates_by_stage, use_rates
from mtlkeras.training._optimizers import Slots, check_can_go_on, copy_of
from mtlkeras.training._trainable import Flags
from mtlkeras.training.phase import Phase


@dataclasses.dataclass(frozen=True)
class Step:
    """Epochs in which the same layers train: a phase, or a part of one that unfreezes stage by stage.

    Args:
        phase: The phase.
        layers: What trains.
        epochs: Number of epochs.
        optimizer: What its optimizer is a copy of.
        is_first: Whether it is the first of its phase.
        is_last: Whether it is the last of its phase.
    """

    phase: Phase
    layers: list[Any]
    epochs: int
    optimizer: Any
    is_first: bool
    is_last: bool

    @property
    def where(self) -> str:
        """The phase, for messages."""
        return f"Phase '{self.phase.title}'"

    @property
    def goes_on(self) -> bool:
        """Whether its optimizer goes on with the state of the one before."""
        return self.phase.keep_optimizer or not self.is_first

    @property
    def takes_rate(self) -> bool:
        """Whether it goes on with its learning rate too, as callbacks have set it."""
        return self.phase.learning_rate is None or not self.is_first


class Plan:
    """The steps of some phases on a model, and how the model is made ready for each.

    Args:
        model: A compiled `MultiTaskModel`.
        phases: The phases.

    Raises:
        ValueError: If a phase does not go with the model.
    """

    def __init__(self, model: Any, phases: Iterable[Phase]) -> None:
        if not isinstance(model, MultiTaskModel):
            raise ValueError(f"fit_phases: expected a MultiTaskModel; received {type(model).__name__}.")
        self.phases = _checked(phases)
        self._model, self._compilation = model, Compilation(model)
        self._parts, self._flags = Parts(model), Flags(model)
        self._slots: Slots | None = None
        self.steps: list[Step] = []
        for phase in self.phases:
            self.steps += self._steps(phase)

    def _steps(self, phase: Phase) -> list[Step]:
        where = f"Phase '{phase.title}'"
        layers = self._parts.find(phase.parts, where)
        if not _trained(layers):
            raise ValueError(
                f"{where} trains nothing: what it names has no weights that train, or was frozen before."
            )
        if (phase.stage_decay or phase.unfreeze_every) and not self._parts.stages:
            field = "stage_decay" if phase.stage_decay else "unfreeze_every"
            raise ValueError(f"{where}: {field} goes along stages, and the trunk has none, or is one model.")
        groups = self._unfrozen(phase, layers) if phase.unfreeze_every else [layers]
        every = phase.unfreeze_every or phase.epochs
        last = phase.epochs - every * (len(groups) - 1)
        if last < 1:
            raise ValueError(
                f"{where}: with unfreeze_every={every} all of its {len(groups)} groups of layers train after "
                f"{every * (len(groups) - 1)} epochs, so it needs more than these; received {phase.epochs}."
            )
        if self._compilation.optimizer is None:
            raise ValueError(f"{where}: the model is compiled without an optimizer.")
        optimizer = keras.optimizers.get(phase.optimizer or self._compilation.optimizer)
        if phase.keep_optimizer:
            if not self.steps:
                raise ValueError(f"{where}: keep_optimizer=True, but there is no phase before it.")
            optimizer = self.steps[-1].optimizer
        try:
            optimizer = copy_of(optimizer, phase.learning_rate)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if phase.keep_optimizer or len(groups) > 1:
            check_can_go_on(optimizer, where)
        ends = [number == len(groups) - 1 for number in range(len(groups))]
        return [
            Step(phase, group, last if end else every, optimizer, number == 0, end)
            for number, (group, end) in enumerate(zip(groups, ends, strict=True))
        ]

    def _unfrozen(self, phase: Phase, layers: list[Any]) -> list[list[Any]]:
        """Returns what trains in turn: what is in no stage, then one stage more each time, from the last."""
        chosen = {id(layer) for layer in layers}
        parts = [self._parts.without_stage(), *reversed(self._parts.stages.values())]
        groups: list[list[Any]] = []
        trained: list[Any] = []
        for part in parts:
            new = [layer for layer in part if id(layer) in chosen]
            trained = [*trained, *new]
            if _trained(new):
                groups.append(trained)
        return groups

    def check(self, validates: Mapping[str | None, bool]) -> None:
        """Makes the model ready for each step, to see whether it can be.

        Args:
            validates: By the name of data whether there are data to validate with.

        Raises:
            ValueError: If it cannot.
        """
        for step in self.steps:
            try:
                with self._compilation.scope():
                    self._freeze(step)
                    self._compilation.use(copy_of(step.optimizer), *self._weighing(step))
                if step.phase.patience is not None:
                    self._check_monitor(step.phase, validates)
            except ValueError as error:
                raise ValueError(f"{step.where}: {error}") from error

    def _check_monitor(self, phase: Phase, validates: Mapping[str | None, bool]) -> None:
        names = list(self._model.get_metrics_result())
        known = [*names, *(f"val_{name}" for name in names)]
        if phase.monitor not in known:
            raise unknown_name("value", phase.monitor, known, "monitor")
        if phase.monitor.startswith("val_") and not validates[phase.data]:
            raise ValueError(f"patience looks at '{phase.monitor}', which takes validation_data.")

    def begin(self, step: Step) -> None:
        """Makes the model ready for a step: what trains, and how it is compiled."""
        model, optimizer = self._model, None
        with self._compilation.scope():
            self._freeze(step)
            optimizer = copy_of(step.optimizer)
            with Slots(optimizer) as slots:
                self._compilation.use(optimizer, *self._weighing(step))
                if not model.optimizer.built:
                    model.optimizer.build(model.trainable_variables)
            slots.sort(model.optimizer)
            if step.goes_on and self._slots is not None:
                slots.take_over(self._slots, step.takes_rate)
        self._slots = slots
        if step.phase.stage_decay is not None:
            rates = rates_by_stage(list(self._parts.stages.values()), step.phase.stage_decay)
            use_rates(model.optimizer, model.trainable_variables, rates)

    def _freeze(self, step: Step) -> None:
        self._flags.freeze_all_but(step.layers, self._parts.all)

    def _weighing(self, step: Step) -> tuple[Balancer | None, Mapping[str, float] | None]:
        """Returns the balancer and the loss weights of a step, for what is frozen now."""
        phase, balancer = step.phase, step.phase.balancer or self._compilation.balancer
        if isinstance(balancer, GradientBalancer) and not _trained(shared_layers(self._model)):
            if phase.balancer is not None:
                raise ValueError(
                    f"balancer: {type(balancer).__name__} weighs gradients of what tasks share, and none of "
                    "that trains in it."
                )
            balancer = None
        return balancer, phase.loss_weights

    def put_back(self) -> None:
        """Leaves the model's flags as they were, and compiles it as it was, its optimizer begun anew."""
        self._flags.put_back()
        optimizer = self._compilation.optimizer
        with self._compilation.scope():
            # One that has taken no step is the caller's own.
            fresh = copy_of(optimizer) if optimizer is not None and optimizer.built else optimizer
            self._compilation.use(fresh, self._compilation.balancer)


def _trained(layers: Iterable[Any]) -> list[Any]:
    return [variable for layer in layers for variable in layer.trainable_variables]


def _checked(phases: Any) -> list[Phase]:
    if isinstance(phases, Phase):
        phases = [phases]
    found = list(phases) if isinstance(phases, Sequence) else []
    if not found:
        raise ValueError(f"fit_phases: expected a list of at least one Phase; received {phases!r}.")
    for phase in found:
        if isinstance(phase, type) and issubclass(phase, Phase):
            raise ValueError("fit_phases: expected phases such as Phase('heads'); received the class itself.")
        if not isinstance(phase, Phase):
            raise ValueError(
                f"fit_phases: expected mtlkeras.training.Phase(...) in phases; received {phase!r}."
            )
    return found
