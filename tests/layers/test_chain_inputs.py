"""What a CRF and an HMM may be given: forbidden tags, NaN, nothing at all, every dtype."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from mtlkeras.layers import CRF, HMM
from tests.brute_force import Paths, Potentials
from tests.layers.chain_support import gradient_function, numbers, stateless

# What they compute is the same in graphs, where most of their time would go into tracing.
pytestmark = pytest.mark.eager

ROWS, TIME, TAGS, BEST = 6, 4, 3, 4
NO_PATH = -1e29  # What cannot be has a lower score.
CLOSE = dict(rtol=1e-5, atol=2e-5)


class Answers:
    """All that a CRF answers, compiled once."""

    def __init__(self) -> None:
        self.crf = CRF(TAGS)
        self.answer = stateless(self.crf, self._answer)
        self.gradients = gradient_function(self.crf, self._loss)

    def _answer(self, x, tags, some, mask):
        crf = self.crf
        tags_of, scores = crf.decode(x, mask, k=BEST)
        return {
            "log_partition": crf.log_partition(x, mask),
            "likelihood": crf.log_likelihood(x, tags, mask),
            "of_some": crf.log_likelihood(x, some, mask),
            "score": crf.score(x, tags, mask),
            "marginals": crf.marginals(x, mask),
            "best": tags_of,
            "scores": scores,
        }

    def _loss(self, x, tags, mask):
        return ops.sum(self.crf.log_likelihood(x, tags, mask))

    def set(self, potentials: Potentials) -> None:
        for weight, value in zip(self.crf.weights, vars(potentials).values(), strict=True):
            weight.assign(value)


@pytest.fixture(scope="module")
def answers() -> Answers:
    return Answers()


def problem(seed: int, forbidden: float = 0.0, scale: float = 1.0):
    """Potentials, logits, tags, tags of which some are known, and a mask with holes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, TIME, TAGS), scale=scale).astype("float32")
    x[rng.random(x.shape) < forbidden] = -np.inf
    potentials = Potentials.random(rng, TAGS)
    potentials.transitions[rng.random((TAGS, TAGS)) < forbidden / 2] = -np.inf
    tags = rng.integers(0, TAGS, (ROWS, TIME)).astype("int32")
    some = np.where(rng.random(tags.shape) < 0.5, tags, -1).astype("int32")
    mask = rng.random(tags.shape) < 0.7
    mask[0], mask[1] = True, np.arange(TIME) >= 2  # All of it; padding at the left.
    return potentials, x, tags, some, mask


def likelihood(paths: Paths, tags: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        found = paths.log_likelihood(tags)
    return -np.inf if np.isnan(found) else found  # Of what is impossible altogether.


def check_logs(found: np.ndarray, expected: list[float]) -> None:
    can_be = np.isfinite(expected)
    np.testing.assert_allclose(found[can_be], np.array(expected)[can_be], **CLOSE)
    assert (found[~can_be] < NO_PATH).all() and np.isfinite(found).all()


def check(answers: Answers, potentials: Potentials, x, tags, some, mask) -> int:
    """Compares all answers with the enumeration of all paths; returns how many sequences cannot be."""
    answers.set(potentials)
    found = answers.answer(x, tags, some, mask)
    paths = [Paths(potentials, row.astype("float64"), there) for row, there in zip(x, mask, strict=True)]
    check_logs(found["log_partition"], [p.log_partition() for p in paths])
    check_logs(found["likelihood"], [likelihood(p, row) for p, row in zip(paths, tags, strict=True)])
    check_logs(found["of_some"], [likelihood(p, row) for p, row in zip(paths, some, strict=True)])
    check_logs(found["score"], [p.score(row) for p, row in zip(paths, tags, strict=True)])
    with np.errstate(invalid="ignore"):
        marginals = np.nan_to_num([p.marginals() for p in paths])  # None where nothing can be.
    np.testing.assert_allclose(found["marginals"], marginals, **CLOSE)
    for row, p in enumerate(paths):
        _, scores = p.best(BEST)
        np.testing.assert_allclose(found["scores"][row, : len(scores)], scores, **CLOSE)
        assert (found["scores"][row, len(scores) :] < NO_PATH).all()
        best = found["best"][row, : len(scores)]
        np.testing.assert_allclose([p.score(path) for path in best], scores, **CLOSE)
        assert len({tuple(path) for path in best}) == len(scores)
    assert ((0 <= found["best"]) & (found["best"] < TAGS)).all()
    return int((found["log_partition"] < NO_PATH).sum())


@pytest.mark.eager(False)  # Answers the same graph thirty times.
@settings(max_examples=30, derandomize=True, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.2, 0.4, 0.7]),
    st.sampled_from([1.0, 30.0]),
    st.sampled_from([-np.inf, -3.4e38, -1e30]),
)
def test_forbidden_tags_and_transitions_agree_with_all_paths(answers, seed, forbidden, scale, never):
    potentials, x, *others = problem(seed, forbidden, scale)
    found = answers.answer  # Ways to write what may not be are the same to the layer.
    check(answers, potentials, x, *others)
    once = found(x, *others)
    again = found(np.where(np.isneginf(x), np.float32(never), x), *others)
    for name, value in once.items():
        np.testing.assert_array_equal(again[name], value)


def test_a_sequence_in_which_nothing_is_allowed_has_no_probability(answers):
    potentials, x, tags, some, mask = problem(3)
    x[0], x[1, 3] = -np.inf, -np.inf
    mask[2] = False
    assert check(answers, potentials, x, tags, some, mask) == 2
    for gradient in answers.gradients(x, tags, mask):
        assert np.isfinite(gradient).all()


def gradient_by_paths(potentials: Potentials, x, tags, mask) -> list[np.ndarray]:
    """The gradient of the sum of the likelihoods: what is there less what is expected."""
    found = [np.zeros(x.shape), np.zeros((TAGS, TAGS)), np.zeros(TAGS), np.zeros(TAGS)]
    for row, there in enumerate(mask):
        if not there.any():
            continue
        p = Paths(potentials, x[row].astype("float64"), there)
        shares = np.exp(p.scores - p.log_partition())
        for path, share in [*zip(p.paths, -shares, strict=True), (tags[row][there], 1.0)]:
            found[0][row, p.steps, path] += share
            np.add.at(found[1], (path[:-1], path[1:]), share)
            found[2][path[0]] += share
            found[3][path[-1]] += share
    return found


@pytest.mark.parametrize("forbidden", [0.0, 0.4])
def test_gradients_under_forbidden_tags_are_exact(answers, forbidden):
    potentials, x, tags, _, mask = problem(5, forbidden)
    potentials.transitions = np.where(np.isinf(potentials.transitions), 0.5, potentials.transitions)
    np.put_along_axis(x, tags[..., None].astype("int64"), 0.25, axis=2)  # The tags themselves may be.
    answers.set(potentials)
    for found, expected in zip(
        answers.gradients(x, tags, mask), gradient_by_paths(potentials, x, tags, mask), strict=True
    ):
        np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_means_nothing_spoils_its_own_sequence_only(answers, value):
    potentials, x, tags, some, mask = problem(7, 0.2)
    answers.set(potentials)
    clean, gradients = answers.answer(x, tags, some, mask), answers.gradients(x, tags, mask)
    # Where there is no step nobody looks.
    outside = np.where(mask[..., None], x, value).astype("float32")
    for name, found in answers.answer(outside, tags, some, mask).items():
        np.testing.assert_array_equal(found, clean[name])
    for found, expected in zip(answers.gradients(outside, tags, mask), gradients, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    x[0, 1, 2] = value
    spoilt = answers.answer(x, tags, some, mask)
    for name in ("log_partition", "likelihood", "of_some", "score", "scores", "marginals"):
        assert np.isnan(spoilt[name][0]).all()
        np.testing.assert_array_equal(spoilt[name][1:], clean[name][1:])
    np.testing.assert_array_equal(spoilt["best"][1:], clean["best"][1:])
    assert ((0 <= spoilt["best"][0]) & (spoilt["best"][0] < TAGS)).all()
    others = mask.copy()
    others[0] = False  # Gradients are those of the other sequences.
    for found, expected in zip(
        answers.gradients(x, tags, mask), answers.gradients(x, tags, others), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.eager(False)  # Where there is no graph these are errors.
@pytest.mark.parametrize("wrong", [TAGS, -2])
def test_tags_out_of_range_in_a_graph_spoil_their_own_sequence_only(answers, wrong):
    potentials, x, tags, some, mask = problem(9)
    answers.set(potentials)
    clean = answers.answer(x, tags, some, mask)
    tags[0, 2] = some[0, 2] = wrong
    tags[~mask] = wrong  # Where there is no step any value is right.
    found = answers.answer(x, tags, some, mask)
    for name in ("likelihood", "of_some", "score"):
        assert np.isnan(found[name][0])
        np.testing.assert_array_equal(found[name][1:], clean[name][1:])


FORMS = {
    "list": lambda x: x.tolist(),
    "float64": lambda x: x.astype("float64"),
    "float16": lambda x: x.astype("float16"),
    "bfloat16": lambda x: ops.cast(x, "bfloat16"),
    "int64": lambda x: x.astype("int64"),
    "bool": lambda x: x > 0,
}


@pytest.mark.slow_on_jax
def test_logits_and_masks_of_every_dtype():
    crf = CRF(TAGS, initializer=keras.initializers.RandomNormal(seed=0))
    x = np.round(np.random.default_rng(0).normal(size=(2, 3, TAGS), scale=4.0)).astype("float32")
    mask = np.array([[1, 0, 1], [1, 1, 0]])
    expected = {
        name: numbers(crf.log_partition(x if name != "bool" else x > 0, mask > 0)) for name in ("x", "bool")
    }
    for name, form in FORMS.items():
        found = crf.log_partition(form(x), FORMS["list"](mask) if name == "list" else mask.astype(name))
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_array_equal(numbers(found), expected["bool" if name == "bool" else "x"])


@pytest.mark.slow_on_jax
@pytest.mark.parametrize("floatx", ["float64", "bfloat16"])
def test_computes_in_float32_whatever_floatx(floatx, answers):
    potentials, x, tags, some, mask = problem(11, 0.2)
    answers.set(potentials)
    expected = answers.answer(x, tags, some, mask)
    keras.config.set_floatx(floatx)
    try:
        crf = CRF(TAGS)
        for weight, value in zip(crf.weights, vars(potentials).values(), strict=True):
            weight.assign(value)
        found = stateless(crf, lambda *given: (crf.log_likelihood(*given), crf.decode(given[0], given[2])))
        told, (best, _) = found(x.astype("float64"), some, mask)
        hmm = HMM(TAGS, num_symbols=TAGS, final=True, seed=0)
        history = hmm.fit_em(tags, mask, iterations=2)
        chances = hmm.posteriors(tags, mask)
    finally:
        keras.config.set_floatx("float32")
    np.testing.assert_allclose(told, expected["of_some"], **CLOSE)
    np.testing.assert_array_equal(best, expected["best"][:, 0])
    assert {weight.dtype for weight in (*crf.weights, *hmm.weights)} == {"float32"}
    assert keras.backend.standardize_dtype(chances.dtype) == "float32"
    assert np.diff(history).min() > -1e-3
    np.testing.assert_allclose(numbers(chances).sum(axis=-1), mask, atol=1e-5)


@pytest.mark.parametrize("kind, rows, time", [("crf", 0, 3), ("crf", 2, 0), ("hmm", 0, 0), ("hmm", 1, 1)])
def test_empty_batches_sequences_and_single_steps(kind, rows, time):
    layer = CRF(TAGS) if kind == "crf" else HMM(TAGS, "scores")
    x, tags = np.ones((rows, time, TAGS), "float32"), np.zeros((rows, time), "int32")

    def found(x, tags):
        told = layer.log_likelihood(x, tags) if kind == "crf" else layer.log_likelihood(x, states=tags)
        chances = layer.marginals(x) if kind == "crf" else layer.posteriors(x)
        return told, chances, layer.decode(x), layer.decode(x, k=3)

    told, chances, best, ways = stateless(layer, found)(x, tags)
    assert told.shape == (rows,) and chances.shape == (rows, time, TAGS)
    assert [a.shape for a in (*best, *ways)] == [(rows, time), (rows,), (rows, 3, time), (rows, 3)]
    if not time:  # There is one way to have no step.
        assert (told == 0).all() and (best[1] == 0).all() and (ways[1][:, 1:] < NO_PATH).all()
    if (rows, time) == (1, 1):
        np.testing.assert_allclose(told, np.log(1 / 3) + 1.0, rtol=1e-6)
        np.testing.assert_allclose(chances, 1 / 3, rtol=1e-6)


CRF_ERRORS = {
    "tag 3 of sequence 1, step 0 is outside 0 to 2": lambda c, x, t: c.log_likelihood(x, t + [[0], [3]]),
    "tag -2 of sequence 0.*-1 stands for one that is not known": lambda c, x, t: c.log_likelihood(x, t - 2),
    r"tag -1 of sequence 0, step 0 is outside 0 to 2 \(number of such tags: 4\)": lambda c, x, t: c.score(
        x, t - 1
    ),
    "tag 0.5 of sequence 0": lambda c, x, t: c.log_likelihood(x, t + 0.5),
    "tag nan of sequence 0": lambda c, x, t: c.log_likelihood(x, t * np.nan),
    "tag 255 of sequence 0": lambda c, x, t: c.log_likelihood(x, np.full((2, 2), 255, "uint8")),
    f"tag {2**63 - 1} of sequence 0": lambda c, x, t: c.score(x, np.full((2, 2), 2**63 - 1)),
    "tag 7 of sequence 0": lambda c, x, t: c.log_likelihood(x, ops.convert_to_tensor(t + 7)),
    r"tags of shape \(batch, time\) as of inputs \(2, 2\); received \(2, 3\)": lambda c, x, t: c.score(
        x, np.zeros((2, 3), int)
    ),
    r"received \(2, 2, 3\)": lambda c, x, t: c.log_likelihood(x, np.eye(3)[t]),
    r"expected logits of shape \(batch, time, 3\); received \(2, 3\)": lambda c, x, t: c.decode(x[:, 0]),
    r"expected logits .* received \(2, 2, 4\)": lambda c, x, t: c.marginals(np.zeros((2, 2, 4))),
    r"expected a mask .* received \(2, 1\)": lambda c, x, t: c.decode(x, np.ones((2, 1))),
    r"expected a mask .* received \(3, 2\)": lambda c, x, t: c.decode(x, np.ones((3, 2), int)),
    r"expected a mask .* received \(2, 2, 1\)": lambda c, x, t: c.decode(x, np.ones((2, 2, 1))),
    "k must be a whole number of at least 1; received 0": lambda c, x, t: c.decode(x, k=0),
    "k must be .* received -1": lambda c, x, t: c.decode(x, k=-1),
    "k must be .* received 1.5": lambda c, x, t: c.decode(x, k=1.5),
    "k must be .* received True": lambda c, x, t: c.decode(x, k=True),
    "k must be .* received None": lambda c, x, t: c.decode(x, k=None),
    "num_tags must be a whole number of at least 1; received 0": lambda c, x, t: CRF(0),
    "num_tags must be .* received '3'": lambda c, x, t: CRF("3"),
}


@pytest.mark.parametrize("message", CRF_ERRORS)
def test_what_a_crf_cannot_take_is_named(message):
    crf = CRF(TAGS, name="chain")
    with pytest.raises(ValueError, match=message) as error:
        CRF_ERRORS[message](crf, np.zeros((2, 2, TAGS), "float32"), np.zeros((2, 2), int))
    assert "CRF" in str(error.value)


@pytest.mark.slow_on_jax
def test_tags_where_there_is_no_step_may_be_anything():
    crf, mask = CRF(TAGS), np.array([[True, False]])
    found = crf.log_likelihood(np.zeros((1, 2, TAGS)), np.array([[1, 99]]), mask)
    np.testing.assert_allclose(numbers(found), -np.log(3.0), rtol=1e-6)
    tags, _ = crf.decode(np.zeros((1, 2, TAGS)), mask, k=np.int64(30))  # Of which there are three.
    assert tags.shape == (1, 30, 2)


@pytest.mark.eager(False)  # As for tags.
@pytest.mark.parametrize(
    "kind", ["discrete", *(pytest.param(k, marks=pytest.mark.slow) for k in ("gaussian", "scores"))]
)
def test_an_observation_that_means_nothing_spoils_its_own_sequence_only(kind):
    hmm = HMM(
        2,
        kind,
        seed=0,
        **{"discrete": {"num_symbols": 3}, "gaussian": {"num_features": 2}, "scores": {}}[kind],
    )
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (3, 4)) if kind == "discrete" else rng.normal(size=(3, 4, 2))
    x = x.astype("float32")  # Symbols as well, so that gradients and NaN can be asked for.
    wrong = {"discrete": 3.0, "gaussian": np.inf, "scores": np.inf}[kind]
    mask, states = np.ones((3, 4), bool), np.array([[0, -1, 1, 0]] * 3, "int32")
    mask[1, 2] = False

    def found(x, mask, states):
        return hmm.log_likelihood(x, mask, states), hmm.posteriors(x, mask), hmm.decode(x, mask)

    answer = stateless(hmm, found)
    gradients = gradient_function(hmm, lambda x, mask: ops.sum(hmm.log_likelihood(x, mask)))
    clean = answer(x, mask, states)
    without = gradients(x, np.where([[False], [True], [True]], mask, False))[1:]
    for value in (wrong, np.nan):
        spoilt = x.copy()
        spoilt[0, 1] = spoilt[1, 2] = value  # The second is not there.
        told, chances, (best, score) = answer(spoilt, mask, states)
        for own, expected in ((told, clean[0]), (chances, clean[1]), (score, clean[2][1])):
            assert np.isnan(own[0]).all()
            np.testing.assert_array_equal(own[1:], expected[1:])
        assert ((best >= 0) & (best < 2)).all()
        for own, expected in zip(gradients(spoilt, mask)[1:], without, strict=True):
            np.testing.assert_allclose(own, expected, atol=1e-6)
    states[0, 1] = 2  # In a graph; else it is an error.
    told = answer(x, mask, states)[0]
    assert np.isnan(told[0]) and np.array_equal(told[1:], clean[0][1:])


def test_scores_of_minus_infinity_forbid_a_state():
    hmm = HMM(2, "scores")
    x = np.zeros((3, 3, 2), "float32")
    x[0, 1, 0], x[1, 1] = -np.inf, -np.inf
    told, chances = stateless(hmm, lambda x: (hmm.log_likelihood(x), hmm.posteriors(x)))(x)
    np.testing.assert_allclose(told[[0, 2]], [np.log(0.5), 0.0], atol=1e-6)  # All chances are 1/2.
    assert told[1] < NO_PATH and (chances[1] == 0).all()
    np.testing.assert_allclose(chances[0, 1], [0.0, 1.0], atol=1e-6)


X = np.array([[0, 1, 2], [2, 1, 0]])
HMM_ERRORS = {
    "start must be probabilities, which are not negative; received -1": lambda h: h.set_probabilities(
        start=[-1, 2]
    ),
    "start must be probabilities.* received nan": lambda h: h.set_probabilities(start=[np.nan, 1]),
    "start must be probabilities.* received inf": lambda h: h.set_probabilities(start=[np.inf, 1]),
    "start must sum to 1; the sum is 0.6": lambda h: h.set_probabilities(start=[0.3, 0.3]),
    "start must sum to 1; the sum is 0": lambda h: h.set_probabilities(start=[0, 0]),
    r"expected start of shape \(2,\); received \(3,\)": lambda h: h.set_probabilities(
        start=[0.5, 0.25, 0.25]
    ),
    "transitions of state 1 must sum to 1; the sum is 2": lambda h: h.set_probabilities(
        transitions=[[0.5, 0.5], [1, 1]]
    ),
    "emissions of state 0 must sum to 1": lambda h: h.set_probabilities(emissions=np.ones((2, 3))),
    "symbol 3 is outside 0 to 2": lambda h: h.log_likelihood(X + 1),
    "symbol -2 is outside": lambda h: h.decode(X - 2),
    "symbol 0.5 is outside": lambda h: h.posteriors(X + 0.5),
    "state 2 of sequence 0, step 2 is outside 0 to 1": lambda h: h.log_likelihood(X, states=X),
    "state -2 of sequence 0, step 0": lambda h: h.posteriors(X, states=X * 0 - 2),
    r"expected states of shape \(batch, time\)": lambda h: h.posteriors(X, states=X[:, :2]),
    "k must be a whole number of at least 1; received 0": lambda h: h.decode(X, k=0),
    "state 2 of sequence 0, step 2 is": lambda h: h.fit_supervised(X, X),
    "state -5 of sequence 0": lambda h: h.fit_em(X, states=X * 0 - 5),
    "state nan of sequence 0": lambda h: h.fit_supervised(X, X * np.nan),
    "state 0.5 of sequence 0": lambda h: h.fit_supervised(X, X * 0 + 0.5),
    "no step to learn from": lambda h: h.fit_em(np.zeros((0, 3), int)),
    "there is no step": lambda h: h.fit_em(np.zeros((2, 0), int)),
    "there is no step to learn": lambda h: h.initialize(X, mask=X > 9),
    "symbol 9.0 is outside 0 to 2": lambda h: h.fit_em(X + 9.0),
    "symbol nan is outside": lambda h: h.fit_em(X * np.nan),
    r"received \(3,\)": lambda h: h.fit_em(X[0]),
    "iterations must be a whole number of at least 0; received -1": lambda h: h.fit_em(X, iterations=-1),
    "batch_size must be a whole number of at least 1; received 0": lambda h: h.fit_em(X, batch_size=0),
    "tolerance must be a number; received nan": lambda h: h.fit_em(X, tolerance=np.nan),
    "smoothing must not be negative": lambda h: h.fit_em(X, smoothing=-1.0),
    "smoothing must .* received nan": lambda h: h.fit_supervised(X, X * 0, smoothing=np.nan),
    "num_states must be a whole number of at least 1; received 1.5": lambda h: HMM(1.5, num_symbols=3),
    "num_symbols must be .* received '3'": lambda h: HMM(2, num_symbols="3"),
    "means must be finite": lambda h: HMM(2, "gaussian", num_features=1).set_probabilities(
        means=[[0.0], [np.nan]]
    ),
    "variances must be finite and above 0; received 0.0": lambda h: HMM(
        2, "gaussian", num_features=1
    ).set_probabilities(variances=[[1.0], [0.0]]),
    "must be finite where": lambda h: HMM(2, "gaussian", num_features=1).fit_em(np.full((1, 2, 1), np.inf)),
    "scores must be numbers": lambda h: HMM(2, "scores").fit_em(np.full((1, 2, 2), np.nan)),
    "transitions with final of state 0 must sum to 1; the sum is 1.33": lambda h: HMM(
        2, num_symbols=3, final=True
    ).set_probabilities(transitions=np.full((2, 2), 0.5)),
}


@pytest.mark.parametrize("message", HMM_ERRORS)
def test_what_an_hmm_cannot_take_is_named(message):
    hmm = HMM(2, num_symbols=3)
    before = hmm.probabilities()
    with pytest.raises(ValueError, match=message) as error:
        HMM_ERRORS[message](hmm)
    assert "HMM" in str(error.value)
    for name, value in hmm.probabilities().items():  # What fails changes nothing.
        np.testing.assert_array_equal(value, before[name])


def test_an_hmm_learns_from_one_row_of_one_step():
    hmm = HMM(2, num_symbols=3, final=True, seed=0)
    history = hmm.fit_em(np.array([[1]]), iterations=2)
    np.testing.assert_allclose(hmm.probabilities()["emissions"].max(axis=1), 1.0, rtol=1e-5)
    assert np.isfinite(history).all()
    hmm.set_probabilities(
        start=np.array([0.333, 0.666]), transitions=[[0.5, 0.4], [0.1, 0.9]], final=[0.1, 0.0]
    )
    np.testing.assert_allclose(hmm.probabilities()["start"], [1 / 3, 2 / 3], rtol=1e-3)
