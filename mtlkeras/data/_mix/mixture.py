"""What a mix of data sets does in each epoch, as a function of its seed and the epoch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._types import Dataset
from mtlkeras.data._mix.allocation import allocated, spread
from mtlkeras.data.report import attach, find_all
from mtlkeras.data.schedules import Schedule

_MIXTURE = "_mtlkeras_mixture"


@dataclasses.dataclass(frozen=True)
class Source:
    """What a mix knows of one of its sources.

    Args:
        name: Its name.
        tasks: The tasks that it has labels for.
        examples: Number of its examples; `None` if it has no end.
        batch_size: Examples in its batches.
        batches: Number of its batches, of which the last may be smaller; `None` if it has no end.
    """

    name: str
    tasks: tuple[str, ...]
    examples: int | None
    batch_size: int
    batches: int | None

    def rows(self, batches: int) -> int:
        """Returns the number of examples in its first so many batches, it being repeated."""
        if self.batches is None or self.examples is None:
            return batches * self.batch_size
        passed, rest = divmod(batches, self.batches)
        return passed * self.examples + min(rest * self.batch_size, self.examples)


@dataclasses.dataclass(frozen=True)
class Reading:
    """One epoch of a mix.

    Args:
        order: The source of each unit (batch or example), int64, shape `(units,)`.
        counts: Units of each source, int64, shape `(sources,)`.
        passes: How often each source was passed through before, int64, shape `(sources,)`.
        starts: Where each source begins in its pass, in units, int64, shape `(sources,)`.
    """

    order: np.ndarray
    counts: np.ndarray
    passes: np.ndarray
    starts: np.ndarray


class Mixture:
    """How much each source of a mix gives in each epoch, and where in the source that begins.

    `mtlkeras.data.mixture(dataset)` gives that of a mixed data set; printed it is a small table.

    Attributes:
        sources: What is known of each source, by name.
        schedule: The schedule.
        steps: Number of batches in an epoch.
        epoch: Number of the epoch that is read next, from 0; see `mtlkeras.data.set_epoch`.
        last_epoch: Number of the epoch that was read last.
        losses: By epoch, the validation losses that were told, by task; `None` where none were.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        schedule: Schedule,
        stop: str | int,
        batch_size: int | None,
        shuffle: bool,
        seed: int,
    ) -> None:
        self.sources = dict(sources)
        self.schedule = schedule
        self.epoch = self.last_epoch = 0
        self.losses: list[dict[str, float] | None] = []
        self._batch_size, self._shuffle, self._seed = batch_size, shuffle, seed
        sizes = [s.batches if batch_size is None else s.examples for s in self.sources.values()]
        self._sizes = sizes
        self._units = self._length(stop)
        self.steps = self._units if batch_size is None else math.ceil(self._units / batch_size)

    @property
    def within_batches(self) -> bool:
        """Whether each batch has examples of several sources."""
        return self._batch_size is not None

    def shares(self, epoch: int = 0) -> dict[str, float]:
        """Returns each source's share of an epoch's examples; those of batches, where they come in turn."""
        sizes = {name: source.examples for name, source in self.sources.items()}
        return self.schedule.shares(sizes, epoch, self._relative_losses(epoch))

    def counts(self, epoch: int = 0) -> dict[str, int]:
        """Returns the number of batches of each source in an epoch; with `within="batch"`, of examples."""
        return dict(zip(self.sources, self.reading(epoch).counts.tolist(), strict=True))

    def examples(self, epoch: int = 0) -> dict[str, int]:
        """Returns the number of examples of each source in an epoch."""
        if self.within_batches:
            return self.counts(epoch)
        reading = self.reading(epoch)
        spans = zip(self.sources.values(), reading.starts.tolist(), reading.counts.tolist(), strict=True)
        return {source.name: source.rows(start + n) - source.rows(start) for source, start, n in spans}

    def reading(self, epoch: int) -> Reading:
        """Returns what is read in an epoch."""
        epoch = epoch if self._shuffle else 0  # Then each is read from its beginning.
        begin = self._begin_of(epoch)
        counts = self._begin_of(epoch + 1) - begin
        places = zip(begin.tolist(), self._sizes, strict=True)
        passes, starts = np.array([(0, n) if size is None else divmod(n, size) for n, size in places]).T
        return Reading(self._order(epoch, counts), counts, passes, starts)

    def next_reading(self) -> Reading:
        """Returns what is read in the next epoch, which is then the one after it."""
        self.last_epoch, self.epoch = self.epoch, self.epoch + 1
        return self.reading(self.last_epoch)

    @property
    def shuffles(self) -> bool:
        """Whether each epoch has an order of its own."""
        return self._shuffle

    def tell(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Takes the validation losses after an epoch from its logs, if the schedule follows them.

        Raises:
            ValueError: If there are none.
        """
        if not self.schedule.follows_losses:
            return
        tasks = list(dict.fromkeys(task for source in self.sources.values() for task in source.tasks))
        found = {task: float(logs[f"val_{task}_loss"]) for task in tasks if f"val_{task}_loss" in logs}
        if not found:
            raise ValueError(
                f"{type(self.schedule).__name__} follows the validation losses, and the logs have no "
                f"'val_{tasks[0]}_loss': give fit validation_data=."
            )
        self.losses += [None] * (epoch + 1 - len(self.losses))
        self.losses[epoch] = found

    def state(self) -> dict[str, Any]:
        """Returns what a later process must know to go on, as JSON can hold it."""
        return {"losses": self.losses}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state` returned."""
        self.losses = list(state["losses"])

    def __str__(self) -> str:
        shares, examples = self.shares(), self.examples()
        lines = [f"{len(self.sources)} sources by {self.schedule!r}, {self.steps:,} batches an epoch"]
        for source in self.sources.values():
            size = "no end" if source.examples is None else f"{source.examples:,} examples"
            lines.append(
                f"{source.name}: {size}, {examples[source.name]:,} in the first epoch "
                f"({shares[source.name]:.1%}), tasks {', '.join(source.tasks)}"
            )
        return "\n".join(lines)

    def _relative_losses(self, epoch: int) -> list[dict[str, float]]:
        known = [losses for losses in self.losses[:epoch] if losses]
        return [
            {name: _mean_ratio(losses, known[0], source.tasks) for name, source in self.sources.items()}
            for losses in known
        ]

    def _unit_shares(self, epoch: int) -> np.ndarray:
        """Returns each source's share of the units of an epoch."""
        shares = self.shares(epoch)
        units = np.array([shares[name] for name in self.sources])
        if not (self.within_batches or self.schedule.in_turn):
            units /= [
                s.batch_size if s.examples is None or s.batches is None else s.examples / s.batches
                for s in self.sources.values()
            ]
        return units / units.sum()

    def _length(self, stop: str | int) -> int:
        """Returns the number of units in an epoch."""
        if not isinstance(stop, str):
            return stop if self._batch_size is None else stop * self._batch_size
        shares = self._unit_shares(0)
        lengths = [
            size / share
            for size, share in zip(self._sizes, shares.tolist(), strict=True)
            if share > 0 and size is not None
        ]
        return max(1, math.floor(min(lengths) + 1e-6) if stop == "first" else math.ceil(max(lengths) - 1e-6))

    def _begin_of(self, epoch: int) -> np.ndarray:
        """Returns how many units of each source the epochs before have read."""
        total = np.zeros(len(self.sources), np.int64)
        if self.schedule.in_turn:
            done = epoch * self._units
            return done // len(total) + (np.arange(len(total)) < done % len(total))
        carried = np.zeros(len(total))
        for number in range(epoch):
            quotas = self._unit_shares(number) * self._units + carried
            counts = allocated(quotas, self._units)
            carried = quotas - counts
            total += counts
        return total

    def _order(self, epoch: int, counts: np.ndarray) -> np.ndarray:
        if self.schedule.in_turn:
            return (epoch * self._units + np.arange(self._units)) % len(counts)
        return spread(counts, np.random.default_rng([self._seed, epoch]) if self._shuffle else None)


def _mean_ratio(losses: Mapping[str, float], first: Mapping[str, float], tasks: tuple[str, ...]) -> float:
    """Returns the mean over tasks of losses as multiples of the first ones; 1 where none can be told."""
    ratios = [losses[task] / first[task] for task in tasks if task in losses and first.get(task, 0.0) > 0]
    ratios = [ratio for ratio in ratios if math.isfinite(ratio) and ratio >= 0]
    return sum(ratios) / len(ratios) if ratios else 1.0


def attach_mixture(dataset: Any, mixture: Mixture) -> Any:
    """Puts a mixture on a data set, for `find_mixtures` to find."""
    return attach(dataset, _MIXTURE, mixture)


def find_mixtures(dataset: Any) -> list[Mixture]:
    """Returns the mixtures of a data set and of those that it was made of."""
    return find_all(dataset, _MIXTURE)


def mixture(dataset: Dataset) -> Mixture:
    """Returns what a mixed data set does: shares and counts by source and epoch.

    Args:
        dataset: A data set made by `mtlkeras.data.mix`, or one made from it by `map` and the like.

    Raises:
        ValueError: If it is no such data set.

    Example:

    ```python
    a = mtlkeras.data.load({"x": np.ones((90, 2)), "y": np.arange(90) % 3}, {"kind": "y"}, "x")
    b = mtlkeras.data.load({"x": np.ones((10, 2)), "y": np.arange(10.0)}, {"size": "y"}, "x")
    mixed = mtlkeras.data.mix({"a": a, "b": b}, mtlkeras.data.Temperature(2.0))
    mtlkeras.data.mixture(mixed).shares()  # {'a': 0.75, 'b': 0.25}
    print(mtlkeras.data.mixture(mixed))
    ```
    """
    found = find_mixtures(dataset)
    if not found:
        raise ValueError("This data set was not made by mtlkeras.data.mix.")
    return found[0]
