from __future__ import annotations

import functools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from mtlkeras.layers import CRF
from mtlkeras.layers._chain import partition
from mtlkeras.layers._tag_constraints import allowed_transitions
from tests.brute_force import Paths, Potentials
from tests.layers.chain_support import LENGTH, ROWS, finite_differences, numbers, random_masks, stateless
from tests.layers.chain_support import gradients as gradients_of

# What they compute is the same in graphs, where most of their time would go into tracing.
pytestmark = pytest.mark.eager

BIO = ("O", "B-a", "I-a", "B-b", "I-b")
BIOES = ("O", "B-a", "I-a", "E-a", "S-a")
TAGS = {"BIO": BIO, "BIOES": BIOES}
SCHEMES = ["BIO", pytest.param("BIOES", marks=pytest.mark.slow_on_jax)]
FORMS = ("scaled", "extended_range")
FULL = np.ones((ROWS, LENGTH), bool)


def layer(potentials: Potentials, **options) -> CRF:
    return set_to(CRF(len(potentials.start), **options), potentials)


def emissions(rng: np.random.Generator, states: int, kind: str) -> np.ndarray:
    x = rng.normal(size=(ROWS, LENGTH, states))
    if kind == "gaps":  # What is best in one step is 400 below the best in another.
        x = x + rng.choice([-200.0, 0.0, 200.0], size=x.shape)
    return x.astype("float32")


@functools.cache
def answers(states: int, form: str = "scaled", scheme: str | None = None, training: bool = False):
    """A CRF and all that it answers, compiled once for the tests that ask for the same."""
    with pytest.MonkeyPatch.context() as patch:
        use_form(form, patch)
        crf = CRF(states, constraints=scheme, tags=TAGS.get(scheme or ""), constrain_training=training)

        def found(x, tags, some, mask):
            likelihoods = [crf.log_likelihood(x, wanted, mask) for wanted in (tags, some)]
            ways = [crf.decode(x, mask, k=k) for k in (1, 7)]
            return crf.log_partition(x, mask), likelihoods, crf.marginals(x, mask), ways

        run = stateless(crf, found)
        # Traced while the form holds.
        run(np.zeros((ROWS, LENGTH, states), "float32"), *np.zeros((2, ROWS, LENGTH), "int64"), FULL)
    return crf, run


def set_to(crf: CRF, potentials: Potentials) -> CRF:
    for weight, value in zip(crf.weights, vars(potentials).values(), strict=True):
        weight.assign(value)
    return crf


def use_form(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if form == "extended_range":
        monkeypatch.setattr(partition, "_LARGEST_SCALED_RANGE", -1.0)


def is_scaled(crf: CRF, x: np.ndarray, mask: np.ndarray, constrained: bool) -> bool:
    return bool(partition._fits_scaling(crf._chain(crf._read(x, mask), constrained)))


def compare(run, potentials: Potentials, x: np.ndarray, mask: np.ndarray, rng, training=None) -> None:
    """Checks all a CRF computes against the enumeration of all paths.

    Args:
        run: What `answers` gave.
        training: The potentials of partition and likelihood, if they are not those of decoding.
    """
    states = x.shape[-1]
    decoding = [Paths(potentials, row.astype("float64"), there) for row, there in zip(x, mask, strict=True)]
    learning = [
        Paths(training or potentials, row.astype("float64"), there)
        for row, there in zip(x, mask, strict=True)
    ]
    close = dict(rtol=1e-5, atol=1e-5)
    tags = rng.integers(0, states, mask.shape)
    some = np.where(rng.random(mask.shape) < 0.5, tags, -1)
    log_partition, likelihoods, chances, ways = run(x, tags, some, mask)
    np.testing.assert_allclose(log_partition, [p.log_partition() for p in learning], **close)

    # Likelihoods that are differences of large numbers are as exact as these are.
    size = np.maximum(1.0, np.abs(log_partition)) * 1e-5
    for wanted, found in zip((tags, some), likelihoods, strict=True):
        expected = [p.log_likelihood(row) for p, row in zip(learning, wanted, strict=True)]
        reached = np.isfinite(expected)
        within = 2 * np.maximum(size, np.abs(found) * 1e-5)
        assert (np.abs(found - expected)[reached] < within[reached]).all(), (found, expected)

    marginals = np.stack([p.marginals() for p in decoding])
    np.testing.assert_allclose(chances, marginals, **close)

    for k, (found, scores) in zip((1, 7), ways, strict=True):
        if k == 1:
            found, scores = found[:, None], scores[:, None]
        for row, p in enumerate(decoding):
            best, expected = p.best(k)
            np.testing.assert_allclose(scores[row, : len(best)], expected, **close)
            assert (scores[row, len(best) :] < -1e29).all()
            # Paths whose scores float32 cannot tell apart may come in any order.
            at = [p.score(tags_found) for tags_found in found[row, : len(best)]]
            np.testing.assert_allclose(at, expected, **close)
            assert len({tuple(tags_found) for tags_found in found[row, : len(best)]}) == len(best)
        assert (found.transpose(0, 2, 1)[~mask] == 0).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("states", [pytest.param(1, marks=pytest.mark.slow_on_jax), 3])
def test_agrees_with_all_paths(states, form, monkeypatch):
    crf, run = answers(states, form)
    use_form(form, monkeypatch)
    rng = np.random.default_rng(states)
    potentials, x, mask = Potentials.random(rng, states), emissions(rng, states, "normal"), random_masks(rng)
    set_to(crf, potentials)
    assert is_scaled(crf, x, mask, False) == (form == "scaled")
    compare(run, potentials, x, mask, rng)


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["emissions", "transitions", "both"])
def test_is_exact_where_probabilities_would_underflow(kind, seed):
    rng, states = np.random.default_rng(seed), 3
    potentials = Potentials.random(rng, states, scale=1.0 if kind == "emissions" else 60.0)
    x, mask = emissions(rng, states, "normal" if kind == "transitions" else "gaps"), random_masks(rng)
    crf, run = answers(states)
    set_to(crf, potentials)
    assert is_scaled(crf, x, mask, False) == (kind == "emissions")
    compare(run, potentials, x, mask, rng)


@pytest.mark.parametrize(
    "seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]
)
def test_probabilities_hold_up_to_the_range_they_are_used_for(seed):
    rng, states = np.random.default_rng(seed), 3
    potentials = Potentials.random(rng, states)
    scores = (potentials.transitions, potentials.start, potentials.end)
    widest = sum(np.ptp(x) for x in scores)
    potentials = Potentials(*[(x * 49.9 / widest).astype("float32").astype("float64") for x in scores])
    x, mask = emissions(rng, states, "gaps"), random_masks(rng)
    crf, run = answers(states)
    set_to(crf, potentials)
    assert is_scaled(crf, x, mask, False)
    compare(run, potentials, x, mask, rng)


@pytest.mark.parametrize("constrain_training", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("kind", ["normal", pytest.param("gaps", marks=pytest.mark.slow)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_is_exact_under_constraints(scheme, kind, constrain_training):
    rng = np.random.default_rng(3)
    tags = TAGS[scheme]
    potentials, x, mask = (
        Potentials.random(rng, len(tags)),
        emissions(rng, len(tags), kind),
        random_masks(rng),
    )
    crf, run = answers(len(tags), scheme=scheme, training=constrain_training)
    set_to(crf, potentials)
    held = potentials.without(allowed_transitions(tags, scheme))
    compare(run, held, x, mask, rng, training=held if constrain_training else potentials)


def test_the_score_of_a_path_is_its_sum():
    rng = np.random.default_rng(0)
    potentials, x, mask = Potentials.random(rng, 3), emissions(rng, 3, "normal"), random_masks(rng)
    tags = rng.integers(0, 3, mask.shape)
    expected = [
        Paths(potentials, row.astype("float64"), there).score(path)
        for row, there, path in zip(x, mask, tags, strict=True)
    ]
    np.testing.assert_allclose(
        numbers(layer(potentials).score(x, tags, mask)), expected, rtol=1e-5, atol=1e-5
    )


def gradients(crf: CRF, x: np.ndarray, loss) -> list[np.ndarray]:
    """The gradients of `loss(logits)` with regard to the logits, transitions, start and end."""
    return gradients_of([crf.transitions, crf.start, crf.end], loss, x)


@pytest.mark.parametrize(
    "case",
    [
        "scaled",
        "extended_range",
        "unknown tags",
        "constrained",
        *(pytest.param(c, marks=pytest.mark.slow_on_jax) for c in ("gaps", "broken")),
    ],
)
def test_gradients_are_those_of_finite_differences(case, monkeypatch):
    use_form(case, monkeypatch)
    rng = np.random.default_rng(1)
    rows = np.array([5, 1, 2, 4])  # All, padding on the left, a gap, none.
    names = ("O", "B-a", "I-a")
    potentials, mask = Potentials.random(rng, 3), random_masks(rng)[rows]
    x = emissions(rng, 3, "gaps" if case == "gaps" else "normal")[rows]
    tags = np.zeros(mask.shape, dtype="int64") if case == "constrained" else rng.integers(0, 3, mask.shape)
    if case == "unknown tags":
        tags = np.where(rng.random(tags.shape) < 0.5, tags, -1)
    if case == "broken":
        tags[:, 0], tags[:, -1], tags[:, 4] = 2, 2, 0  # Every row but the empty one has an I after nothing.
    weights = rng.normal(size=len(rows))
    options = {}
    if case in ("constrained", "broken"):
        options = {"constraints": "BIO", "tags": names, "constrain_training": True}
    allowed = allowed_transitions(names, "BIO")

    def reference(x, transitions, start, end):
        of = Potentials(transitions, start, end)
        of = of.without(allowed) if case == "constrained" else of
        paths = [Paths(of, row, there) for row, there in zip(x, mask, strict=True)]
        return sum(w * p.log_likelihood(t) for w, p, t in zip(weights, paths, tags, strict=True))

    crf = layer(potentials, **options)
    found = gradients(
        crf, x, lambda logits: ops.sum(crf.log_likelihood(logits, tags, mask) * weights.astype("float32"))
    )
    values = [x.astype("float64"), potentials.transitions, potentials.start, potentials.end]
    for gradient, expected in zip(found, finite_differences(reference, values), strict=True):
        np.testing.assert_allclose(gradient, expected, atol=2e-5)
    assert (found[0][~mask] == 0).all()


def test_the_score_of_a_path_is_differentiable_by_itself():
    rng = np.random.default_rng(2)
    potentials, x, mask = Potentials.random(rng, 3), emissions(rng, 3, "normal"), random_masks(rng)
    tags = rng.integers(0, 3, mask.shape)
    crf = layer(potentials)
    found = gradients(crf, x, lambda logits: ops.sum(crf.score(logits, tags, mask)))
    one_hot = np.eye(3)[tags] * mask[:, :, None]
    np.testing.assert_allclose(found[0], one_hot, atol=1e-6)
    counts = np.zeros((3, 3))
    for path, there in zip(tags, mask, strict=True):
        np.add.at(counts, (path[there][:-1], path[there][1:]), 1)
    np.testing.assert_allclose(found[1], counts, atol=1e-6)


@pytest.mark.parametrize("padding", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_what_stands_in_the_padding_does_not_matter(padding):
    rng = np.random.default_rng(4)
    potentials, x, mask = Potentials.random(rng, 3), emissions(rng, 3, "normal"), random_masks(rng)
    tags = rng.integers(0, 3, mask.shape)
    crf, run = answers(3)
    set_to(crf, potentials)
    other = np.where(mask[:, :, None], x, padding).astype("float32")
    for found, expected in zip(
        *map(keras.tree.flatten, [run(y, tags, tags, mask) for y in (other, x)]), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_no_decode_of_ten_thousand_breaks_the_scheme(scheme, scale):
    rng = np.random.default_rng(5)
    tags = (*TAGS[scheme], *(tag.replace("-a", "-c") for tag in TAGS[scheme][1:]))
    rows, time = 5000, 7  # Twice: at either scale.
    pairs, start, end = allowed_transitions(tags, scheme)
    x = rng.normal(size=(rows, time, len(tags)), scale=scale).astype("float32")
    mask = rng.random((rows, time)) < 0.8
    crf = layer(Potentials.random(rng, len(tags), scale=3.0), constraints=scheme, tags=tags)
    found = numbers(crf.decode(x, mask, k=2)[0]).astype("int64")
    one = numbers(crf.decode(x, mask)[0]).astype("int64")
    decodes = 0
    for row in range(rows):
        ways = [one[row], found[row, 0]]
        if mask[row].sum() > 1:  # With one step there may be a single legal tag.
            ways.append(found[row, 1])
        for path in ways:
            steps = path[mask[row]]
            if len(steps):
                assert start[steps[0]] and end[steps[-1]] and pairs[steps[:-1], steps[1:]].all()
                decodes += 1
    assert decodes > 2.5 * rows


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("constrain_training", [pytest.param(False, marks=pytest.mark.slow_on_jax), True])
def test_gold_tags_that_break_the_scheme_give_finite_losses(constrain_training):
    rng = np.random.default_rng(6)
    potentials, x, mask = Potentials.random(rng, 5), emissions(rng, 5, "normal"), random_masks(rng)
    crf = layer(potentials, constraints="BIO", tags=BIO, constrain_training=constrain_training)
    tags = np.full(mask.shape, 2)
    found = numbers(crf.log_likelihood(x, tags, mask))
    free = [
        Paths(potentials, row.astype("float64"), there).log_likelihood(path)
        for row, there, path in zip(x, mask, tags, strict=True)
    ]
    np.testing.assert_allclose(found, free, rtol=1e-5, atol=1e-5)
    assert all(
        np.isfinite(gradient).all()
        for gradient in gradients(crf, x, lambda logits: ops.sum(crf.log_likelihood(logits, tags, mask)))
    )


@pytest.mark.slow_on_jax
@pytest.mark.eager(False)  # Six hundred steps.
def test_long_sequences_lose_no_precision(monkeypatch):
    rng = np.random.default_rng(7)
    potentials = Potentials.random(rng, 4)
    x = rng.normal(size=(2, 600, 4), scale=4.0).astype("float32")
    forward = potentials.start + x[:, 0].astype("float64")
    for step in range(1, 600):
        ways = forward[:, :, None] + potentials.transitions
        forward = np.logaddexp.reduce(ways, axis=1) + x[:, step]
    expected = np.logaddexp.reduce(forward + potentials.end, axis=1)
    crf = layer(potentials)
    np.testing.assert_allclose(numbers(crf.log_partition(x)), expected, rtol=1e-5)
    in_probabilities = numbers(crf.marginals(x))
    np.testing.assert_allclose(in_probabilities.sum(axis=-1), 1.0, atol=1e-5)
    monkeypatch.setattr(partition, "_LARGEST_SCALED_RANGE", -1.0)
    np.testing.assert_allclose(numbers(crf.marginals(x)), in_probabilities, atol=1e-5)
    np.testing.assert_allclose(numbers(crf.log_partition(x)), expected, rtol=1e-6)


@pytest.mark.slow_on_jax
def test_agrees_with_pytorch_crf():
    case = json.loads((Path(__file__).parent / "pytorch_crf.json").read_text(encoding="utf-8"))
    given = {name: np.array(value) for name, value in case["given"].items()}
    crf = layer(Potentials(*[given[name] for name in ("transitions", "start", "end")]))
    x, tags, mask = given["emissions"].astype("float32"), given["tags"], given["mask"].astype(bool)
    expected = case["found"]
    np.testing.assert_allclose(
        numbers(crf.log_likelihood(x, tags, mask)), expected["log_likelihood"], rtol=1e-5, atol=1e-5
    )
    decoded = numbers(crf.decode(x, mask)[0]).astype(int)
    assert [row[there].tolist() for row, there in zip(decoded, mask, strict=True)] == expected["decoded"]
    found = gradients(crf, x, lambda logits: ops.sum(crf.log_likelihood(logits, tags, mask)))
    for gradient, name in zip(found, ("emissions", "transitions", "start", "end"), strict=True):
        np.testing.assert_allclose(gradient, expected["gradients"][name], atol=1e-5)
