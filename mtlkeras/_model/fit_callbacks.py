"""Callbacks that `fit` adds to those that it is given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from mtlkeras._balancing.balancing import EpochStart, WatchedGradients
from mtlkeras._types import Logs


class MixtureEpochs(keras.callbacks.Callback):
    """Numbers the epochs of mixed data, tells them the validation losses, and logs what each source gave.

    It comes before other callbacks: `Backup`, which knows the number of an epoch better, sets it anew, and
    what is logged is there for all.

    Args:
        mixtures: Those of the training data. Their next epoch is the first one of the fit, unless that is
            a later one.
    """

    def __init__(self, mixtures: Sequence[Any]) -> None:
        super().__init__()
        self._begin = [(mixture, mixture.epoch) for mixture in mixtures]
        self._first: int | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._first = epoch if self._first is None else self._first
        for mixture, begin in self._begin:
            mixture.epoch = max(begin, self._first) + epoch - self._first

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = {} if logs is None else logs
        for mixture, _ in self._begin:
            mixture.tell(mixture.last_epoch, logs)
            counts = mixture.examples(mixture.last_epoch)
            logs.update({f"{source}_examples": count for source, count in counts.items()})


def fit_callbacks(model: Any, x: Any, steps_per_epoch: int | None) -> tuple[list[Any], list[Any]]:
    """Returns callbacks to come before and after those that a fit is given.

    Raises:
        ValueError: If the data are a mix, whose epochs are of another length.
    """
    after = [] if model.balancing is None else [EpochStart()]
    mixtures = _mixtures(x)
    if mixtures and steps_per_epoch is not None:
        raise ValueError(
            f"fit: the data are a mix, which says itself how long an epoch is; in place of "
            f"steps_per_epoch={steps_per_epoch} write mtlkeras.data.mix(..., stop={steps_per_epoch})."
        )
    before: list[Any] = [MixtureEpochs(mixtures)] if mixtures else []
    if model.balancing is not None and model.balancing.watches:
        before.append(WatchedGradients())
    return before, after


def _mixtures(x: Any) -> list[Any]:
    if not (hasattr(x, "element_spec") or isinstance(x, keras.utils.PyDataset)):
        return []
    from mtlkeras.data._mix.mixture import find_mixtures

    return find_mixtures(x)


@contextlib.contextmanager
def with_callbacks(callbacks: Any, model: Any, before: list[Any], after: list[Any]) -> Iterator[Any]:
    """Gives a fit's callbacks, with more before and after them.

    What was passed to `fit` is afterwards as it was.
    """
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks else []
        yield [*before, *given, *after] if before or after else callbacks
        return
    for callback in (*before, *after):
        callback.set_model(model)
    given = list(callbacks.callbacks)
    callbacks.callbacks[:] = [*before, *given, *after]
    try:
        yield callbacks
    finally:
        callbacks.callbacks[:] = given
