"""Copies of optimizers, and what one goes on with of another's state."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from mtlkeras.training._layerwise import innermost


def copy_of(optimizer: Any, learning_rate: Any = None) -> Any:
    """Returns an optimizer of the same config, that has yet to take a step.

    Args:
        optimizer: The optimizer.
        learning_rate: A number or schedule in place of its own, or `None`.
    """
    config = optimizer.get_config()
    if learning_rate is not None:
        if hasattr(optimizer, "inner_optimizer"):
            inner = copy_of(optimizer.inner_optimizer, learning_rate)
            config["inner_optimizer"] = keras.optimizers.serialize(inner)
        elif "learning_rate" in config:
            # In the config: an optimizer with a schedule takes no number later, nor the other way about.
            config["learning_rate"] = _plain(learning_rate)
        else:
            raise ValueError(
                f"learning_rate does not go with {type(optimizer).__name__}, which has none of its own."
            )
    return type(optimizer).from_config(config)


def _plain(rate: Any) -> Any:
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return keras.optimizers.schedules.serialize(rate) if is_schedule else rate


class Slots:
    """What an optimizer remembers, each with the variable that it belongs to.

    Args:
        optimizer: An optimizer that is not built, and is going to be while the slots are open.

    Example: `with Slots(optimizer) as slots: optimizer.build(variables)`.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self.by_variable: dict[tuple[int, Any], Any] = {}
        self.rates: list[Any] = []
        self.others: list[Any] = []

    def __enter__(self) -> Slots:
        for inner in innermost(self._optimizer):
            inner.add_variable_from_reference = self._watched(inner.add_variable_from_reference)
        return self

    def __exit__(self, *error: Any) -> None:
        for inner in innermost(self._optimizer):
            vars(inner).pop("add_variable_from_reference")

    def sort(self, optimizer: Any) -> None:
        """Tells apart what belongs to no variable.

        Args:
            optimizer: The optimizer, or one of scaled losses that it is in.
        """
        # Where there is a schedule the rate is no variable.
        rates = {id(inner.learning_rate) for inner in innermost(optimizer)}
        known = {id(slot) for slot in self.by_variable.values()}
        others = [v for v in optimizer.variables if id(v) not in known]
        self.rates = [v for v in others if id(v) in rates]
        self.others = [v for v in others if id(v) not in rates]

    def _watched(self, make: Any) -> Any:
        def add(reference_variable: Any, name: Any = None, initializer: Any = "zeros") -> Any:
            made = make(reference_variable, name=name, initializer=initializer)
            self.by_variable[id(reference_variable), name] = made
            return made

        return add

    def take_over(self, before: Slots, with_rate: bool) -> None:
        """Goes on with another's state, as far as it belongs to the same variables.

        Args:
            before: The optimizer's that was.
            with_rate: Whether also with its learning rate, as callbacks may have set it.
        """
        for key, slot in self.by_variable.items():
            if key in before.by_variable:
                slot.assign(before.by_variable[key])
        pairs = [(self.others, before.others), (self.rates, before.rates if with_rate else [])]
        for mine, theirs in pairs:
            for own, other in zip(mine, theirs, strict=False):
                own.assign(other)


def check_can_go_on(optimizer: Any, where: str) -> None:
    """Raises `ValueError` for an optimizer that does not tell which variable its state belongs to."""
    tried = copy_of(optimizer)
    with Slots(tried) as slots:
        tried.build([keras.Variable(np.zeros((2, 2), "float32"), name="tried")])
    slots.sort(tried)
    if any(tuple(v.shape) for v in slots.others):
        raise ValueError(
            f"{where}: keep_optimizer=True and unfreeze_every do not go with {type(optimizer).__name__}, "
            "whose state cannot be told apart by variable. Take another optimizer, or let it begin anew."
        )
