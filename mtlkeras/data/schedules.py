"""How much each source gives to a mix of data sets, epoch by epoch."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras.specs import Spec, spec, tunable


class Schedule(Spec, abc.ABC):
    """Base class of what says how much each source of a mix gives.

    A schedule of your own is a `mtlkeras.spec` that defines `shares`.
    """

    in_turn: ClassVar[bool] = False
    """Whether sources give whole batches in turn, whatever their shares of examples."""

    follows_losses: ClassVar[bool] = False
    """Whether `shares` needs the losses of the epochs before."""

    @abc.abstractmethod
    def shares(
        self, examples: Mapping[str, int | None], epoch: int = 0, losses: Sequence[Mapping[str, float]] = ()
    ) -> dict[str, float]:
        """Returns each source's share of the examples of an epoch; the shares sum to one.

        Args:
            examples: Number of examples by source, `None` for one without end.
            epoch: Number of the epoch, from 0.
            losses: For each epoch before, as far as they are known, the validation losses by source as
                multiples of the first ones: the mean over the tasks that a source has labels for.

        Raises:
            ValueError: If the schedule does not fit the sources.
        """

    def check_names(self, names: Iterable[str]) -> None:
        """Raises `ValueError` if the schedule names sources that are not these; by default it names none."""


def _at_least(shares: Mapping[str, float], least: float) -> dict[str, float]:
    """Returns shares of which none is below the least; those above it give in proportion."""
    low: set[str] = set()
    while True:
        rest = sum(share for name, share in shares.items() if name not in low)
        scale = (1.0 - least * len(low)) / rest if rest else 0.0
        more = {name for name, share in shares.items() if name not in low and share * scale < least}
        if not more:
            return {name: least if name in low else share * scale for name, share in shares.items()}
        low |= more


def _normed(weights: Mapping[str, float]) -> dict[str, float]:
    total = math.fsum(weights.values())
    return {name: weight / total for name, weight in weights.items()}


def _capped(schedule: Schedule, examples: Mapping[str, int | None], maximum: int | None) -> dict[str, int]:
    found = {}
    for name, n in examples.items():
        if n is None:
            raise ValueError(
                f"{type(schedule).__name__} needs the number of examples of source '{name}', which has no "
                "end. Weighted and Alternating need none; or leave out its repeat(): a mix repeats by itself."
            )
        found[name] = n if maximum is None else min(n, maximum)
    return found


def _check_maximum(owner: Any, maximum: int | None) -> None:
    if maximum is not None:
        whole_number(type(owner).__name__, "maximum", maximum)


@spec
class Alternating(Schedule):
    """One batch of each source in turn, whatever their sizes.

    Example:

    ```python
    mtlkeras.data.Alternating().shares({"a": 100, "b": 900})  # {'a': 0.5, 'b': 0.5}
    ```
    """

    in_turn: ClassVar[bool] = True

    def shares(
        self, examples: Mapping[str, int | None], epoch: int = 0, losses: Sequence[Mapping[str, float]] = ()
    ) -> dict[str, float]:
        return _normed(dict.fromkeys(examples, 1.0))


@spec
class Proportional(Schedule):
    """Shares in proportion to the sources' numbers of examples.

    Args:
        maximum: Greatest number of examples that counts, so that a very large source does not drown the
            others ("examples-proportional mixing" of Raffel et al. 2020, T5, section 3.5.2).

    Example:

    ```python
    mtlkeras.data.Proportional().shares({"a": 100, "b": 900})  # {'a': 0.1, 'b': 0.9}
    mtlkeras.data.Proportional(maximum=300).shares({"a": 100, "b": 900})  # {'a': 0.25, 'b': 0.75}
    ```
    """

    maximum: int | None = None

    def validate(self) -> None:
        _check_maximum(self, self.maximum)

    def shares(
        self, examples: Mapping[str, int | None], epoch: int = 0, losses: Sequence[Mapping[str, float]] = ()
    ) -> dict[str, float]:
        return _normed({name: float(n) for name, n in _capped(self, examples, self.maximum).items()})


@spec
class Temperature(Schedule):
    """Shares in proportion to min(n, maximum)^(1/temperature), n a source's number of examples.

    Temperature 1 is `Proportional`; the higher, the more equal the shares (Raffel et al. 2020, T5,
    section 3.5.2, "temperature-scaled mixing", as in seqio).

    Args:
        temperature: Above 0.
        maximum: Greatest number of examples that counts; `None` for no limit.

    Example:

    ```python
    mtlkeras.data.Temperature(2.0).shares({"a": 100, "b": 900})  # {'a': 0.25, 'b': 0.75}
    ```
    """

    temperature: float = tunable(2.0, 2.0, 1.0, 4.0, 8.0)
    maximum: int | None = None

    def validate(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"Temperature: temperature must be above 0; received {self.temperature!r}.")
        _check_maximum(self, self.maximum)

    def shares(
        self, examples: Mapping[str, int | None], epoch: int = 0, losses: Sequence[Mapping[str, float]] = ()
    ) -> dict[str, float]:
        sizes = _capped(self, examples, self.maximum)
        largest = max(sizes.values())  # A low temperature would overflow without it.
        return _normed({name: (n / largest) ** (1.0 / self.temperature) for name, n in sizes.items()})


@spec
class Weighted(Schedule):
    """Shares in proportion to weights that are given.

    Args:
        weights: A weight for each source; 0 leaves it out.

    Example:

    ```python
    mtlkeras.data.Weighted({"a": 3, "b": 1}).shares({"a": 100, "b": 900})  # {'a': 0.75, 'b': 0.25}
    ```
    """

    weights: Mapping[str, float]

    def validate(self) -> None:
        for name, weight in self.weights.items():
            if weight < 0:
                raise ValueError(
                    f"Weighted: the weight of '{name}' must not be negative; received {weight!r}."
                )
        if not any(self.weights.values()):
            raise ValueError(f"Weighted: a weight must be above 0; received {dict(self.weights)!r}.")

    def check_names(self, names: Iterable[str]) -> None:
        names = list(names)
        for name in self.weights:
            if name not in names:
                raise unknown_name("source", name, names, "Weighted(weights=...)")
        for name in names:
            if name not in self.weights:
                raise ValueError(f"Weighted: there is no weight for source '{name}'; 0 would leave it out.")

    def shares(
        self, examples: Mapping[str, int | None], epoch: int = 0, losses: Sequence[Mapping[str, float]] = ()
    ) -> dict[str, float]:
        self.check_names(examples)
        return _normed({name: float(self.weights[name]) for name in examples})


@spec
class Annealed(Schedule):
    """From the shares of one schedule to those of another, in even steps from epoch to epoch.

    Shares by size at first and nearly equal ones at the end are the "annealed sampling" of Stickland and
    Murray 2019, BERT and PALs, who anneal the exponent of the sizes; here it is the shares themselves.

    Args:
        start: The schedule of the first epoch.
        end: The schedule of epoch number `epochs` and of those after it.
        epochs: In how many steps.

    Example:

    ```python
    to_equal = mtlkeras.data.Annealed(
        mtlkeras.data.Proportional(), mtlkeras.data.Weighted({"a": 1, "b": 1}), epochs=4
    )
    to_equal.shares({"a": 100, "b": 900}, epoch=2)  # {'a': 0.3, 'b': 0.7}
    ```
    """

    start: Schedule
    end: Schedule
    epochs: int

    def validate(self) -> None:
        whole_number("Annealed", "epochs", self.epochs)
        for name in ("start", "end"):
            if getattr(self, name).in_turn:
                raise ValueError(
                    f"Annealed: {name} must be a schedule of shares; received {getattr(self, name)!r}, which "
                    "takes whole batches in turn. Weighted with equal weights has no fixed turn."
                )

    @property
    def follows_losses(self) -> bool:  # type: ignore[override]
        return self.start.follows_losses or self.end.follows_losses

    def check_names(self, names: Iterable[str]) -> None:
        names = list(names)
        self.start.check_names(names)
        self.end.check_names(names)

    def shares(
        self, examples: Mapping[str, int | None], epoch: int = 0, losses: Sequence[Mapping[str, float]] = ()
    ) -> dict[str, float]:
        way = min(epoch / self.epochs, 1.0)
        start = self.start.shares(examples, epoch, losses)
        end = self.end.shares(examples, epoch, losses)
        return _normed({name: (1.0 - way) * start[name] + way * end[name] for name in examples})


@spec
class ByLoss(Schedule):
    """More of the sources whose validation loss falls slowly.

    The share of a source is in proportion to its share in `base` times (L / L_0)^power: L is its
    validation loss after the epoch before, L_0 that after the first one, both as the mean over its tasks.
    So the first epochs are those of `base`. Losses are taken as multiples of the first ones, since those
    of different tasks do not compare (as the loss ratios of Chen et al. 2018, GradNorm).

    `MultiTaskModel.fit` tells the losses after each epoch, and `training.Backup` keeps them.

    Args:
        base: The schedule to begin with.
        power: How much shares follow the losses; 0 is `base`.
        least: Least share of a source, so that none is forgotten.

    Example:

    ```python
    by_loss = mtlkeras.data.ByLoss(least=0.0)
    by_loss.shares({"a": 100, "b": 300}, epoch=2, losses=[{"a": 1.0, "b": 1.0}, {"a": 0.9, "b": 0.1}])
    # {'a': 0.75, 'b': 0.25}
    ```
    """

    base: Schedule = Proportional()
    _: dataclasses.KW_ONLY
    power: float = tunable(1.0, 1.0, 0.5, 2.0)
    least: float = 0.05

    follows_losses: ClassVar[bool] = True

    def validate(self) -> None:
        if self.power < 0:
            raise ValueError(f"ByLoss: power must not be negative; received {self.power!r}.")
        if not 0 <= self.least < 1:
            raise ValueError(f"ByLoss: least must be at least 0 and below 1; received {self.least!r}.")
        if self.base.in_turn:
            raise ValueError(
                f"ByLoss: base must be a schedule of shares; received {self.base!r}, which takes whole "
                "batches in turn. Weighted with equal weights has no fixed turn."
            )

    def check_names(self, names: Iterable[str]) -> None:
        names = list(names)
        self.base.check_names(names)
        if self.least * len(names) > 1:
            raise ValueError(
                f"ByLoss: {len(names)} sources cannot have a share of {self.least} each at least."
            )

    def shares(
        self, examples: Mapping[str, int | None], epoch: int = 0, losses: Sequence[Mapping[str, float]] = ()
    ) -> dict[str, float]:
        shares = self.base.shares(examples, epoch, losses)
        if losses:
            shares = _normed({n: share * losses[-1].get(n, 1.0) ** self.power for n, share in shares.items()})
        return _at_least(shares, self.least)
