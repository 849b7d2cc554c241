"""Shares of sources, against the formulas of their papers; whole numbers that keep to them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from mtlkeras.data import Alternating, Annealed, ByLoss, Proportional, Schedule, Temperature, Weighted
from mtlkeras.data._mix.allocation import allocated, row_places, spread

SIZES = {"a": 100, "b": 900, "c": 9000}
EQUAL = Weighted({"a": 1, "b": 1, "c": 1})


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("maximum", [None, 500])
def test_temperature_is_the_formula_of_seqio(temperature, maximum):
    rates = {name: min(n, maximum or n) ** (1.0 / temperature) for name, n in SIZES.items()}
    found = Temperature(temperature, maximum).shares(SIZES)
    assert found == pytest.approx({name: rate / sum(rates.values()) for name, rate in rates.items()})
    if temperature == 1.0:
        assert found == pytest.approx(Proportional(maximum).shares(SIZES))


def test_a_low_temperature_and_large_sources_do_not_overflow():
    found = Temperature(1e-3).shares({"a": 10**12, "b": 1})
    assert found == {"a": 1.0, "b": 0.0}


def test_annealed_goes_in_even_steps_and_stays():
    schedule = Annealed(Proportional(), EQUAL, epochs=4)
    first, last = Proportional().shares(SIZES), EQUAL.shares(SIZES)
    for epoch, way in enumerate((0.0, 0.25, 0.5, 0.75, 1.0, 1.0)):
        wanted = {name: (1 - way) * first[name] + way * last[name] for name in SIZES}
        assert schedule.shares(SIZES, epoch) == pytest.approx(wanted)


def test_by_loss_follows_the_last_losses_and_forgets_no_source():
    schedule = ByLoss(Weighted({"a": 1, "b": 2, "c": 1}), power=2.0, least=0.1)
    losses = [{"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 1.0, "b": 0.5, "c": 0.01}]
    # Before the floor: 1, 2 * 0.25 and 0.0001.
    found = schedule.shares(SIZES, 2, losses)
    assert found == pytest.approx({"a": 0.9 * 2 / 3, "b": 0.9 / 3, "c": 0.1})
    assert schedule.shares(SIZES, 0) == pytest.approx({"a": 0.25, "b": 0.5, "c": 0.25})
    assert Annealed(Proportional(), schedule, epochs=1).follows_losses


@pytest.mark.parametrize(
    "schedule", [Alternating(), Proportional(9), Temperature(), EQUAL, Annealed(EQUAL, ByLoss(), epochs=2)]
)
def test_schedules_are_values(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert again == schedule and hash(again) == hash(schedule) and isinstance(again, Schedule)


def test_allocation_is_next_to_the_quotas_and_never_drifts():
    random = np.random.default_rng(0)
    for _ in range(50):
        shares = random.dirichlet(np.full(random.integers(1, 6), 0.3))
        total, carried, sums = int(random.integers(1, 40)), 0.0, 0
        for epoch in range(1, 8):
            quotas = shares * total + carried
            counts = allocated(quotas, total)
            carried, sums = quotas - counts, sums + counts
            assert counts.sum() == total and counts.min() >= 0
            assert np.abs(sums - shares * total * epoch).max() <= 1.0 + 1e-5


def test_largest_remainder_as_in_the_textbook():
    votes = np.array([47_000, 16_000, 15_800, 12_000, 6_100, 3_100])
    assert allocated(votes / votes.sum() * 10, 10).tolist() == [5, 2, 1, 1, 1, 0]


def test_every_part_of_an_epoch_has_the_shares_of_the_whole():
    counts = np.array([7, 0, 40, 353])
    order = spread(counts, np.random.default_rng(1))
    assert np.bincount(order, minlength=4).tolist() == counts.tolist()
    for end in range(1, len(order) + 1):
        assert np.abs(np.bincount(order[:end], minlength=4) - counts * end / 400).max() <= 2.0
    assert order.tolist() != spread(counts, np.random.default_rng(2)).tolist()


def test_rows_of_a_batch_come_in_the_drawn_order():
    order = np.array([1, 0, 1, 2, 0, 0, 1])
    counts, places = row_places(order, 4, 3)
    assert counts.tolist() == [[1, 2, 1], [2, 1, 0]]
    for number, batch in enumerate((order[:4], order[4:])):
        rows, placed = np.repeat(np.arange(3), counts[number]), places[4 * number : 4 * number + 4]
        found = np.empty_like(batch)
        found[placed] = rows
        assert found.tolist() == batch.tolist()
