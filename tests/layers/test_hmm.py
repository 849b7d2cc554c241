from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from mtlkeras._backends import compiled
from mtlkeras.layers import HMM
from tests.brute_force import Paths, Potentials
from tests.layers.chain_support import LENGTH, ROWS, finite_differences, gradients, numbers, random_masks

SYMBOLS, FEATURES = 4, 2
KINDS = {"discrete": {"num_symbols": SYMBOLS}, "gaussian": {"num_features": FEATURES}, "scores": {}}


def random_hmm(kind: str, states: int, rng: np.random.Generator, **options) -> HMM:
    hmm = HMM(states, kind, **KINDS[kind], **options)
    for weight in hmm.weights:
        weight.assign(rng.normal(size=weight.shape))
    return hmm


def observations(kind: str, states: int, rng: np.random.Generator, rows: int = ROWS, time: int = LENGTH):
    if kind == "discrete":
        return rng.integers(-1, SYMBOLS, (rows, time))
    return rng.normal(size=(rows, time, FEATURES if kind == "gaussian" else states)).astype("float32")


def emitted(kind: str, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """log p(x | state), by the formulas."""
    if kind == "scores":
        return x.astype("float64")
    if kind == "discrete":
        logs = weights[0] - np.logaddexp.reduce(weights[0], axis=1, keepdims=True)
        return np.where((x >= 0)[..., None], logs.T[np.maximum(x, 0)], 0.0)
    means, logs = weights
    apart = x.astype("float64")[..., None, :] - means
    return (-0.5 * apart**2 / np.exp(logs) - 0.5 * logs - 0.5 * np.log(2 * np.pi)).sum(axis=-1)


def potentials(start: np.ndarray, transitions: np.ndarray) -> Potentials:
    logs = transitions - np.logaddexp.reduce(transitions, axis=1, keepdims=True)
    states = len(start)
    end = logs[:, states] if logs.shape[1] > states else np.zeros(states)
    return Potentials(logs[:, :states], start - np.logaddexp.reduce(start), end)


def paths_of(kind: str, x: np.ndarray, mask: np.ndarray, weights: list[np.ndarray]) -> list[Paths]:
    chain, logs = potentials(*weights[:2]), emitted(kind, x, weights[2:])
    return [Paths(chain, row, there) for row, there in zip(logs, mask, strict=True)]


def joint(paths: Paths, states: np.ndarray) -> float:
    """log p(x, states), of states that are known; the likelihood given x, and that of x."""
    return paths.log_likelihood(states) + paths.log_partition()


@pytest.mark.eager
@pytest.mark.parametrize(
    "kind, states, final",
    [
        ("discrete", 3, True),
        pytest.param("gaussian", 3, False, marks=pytest.mark.slow_on_jax),
        pytest.param("scores", 1, False, marks=pytest.mark.slow_on_jax),
    ],
)
def test_agrees_with_all_paths(kind, states, final):
    rng = np.random.default_rng(states)
    hmm = random_hmm(kind, states, rng, final=final)
    x, mask = observations(kind, states, rng), random_masks(rng)
    known = np.where(rng.random(mask.shape) < 0.5, rng.integers(0, states, mask.shape), -1)
    paths = paths_of(kind, x, mask, [numbers(w) for w in hmm.weights])
    close = dict(rtol=1e-5, atol=1e-5)
    whole = np.maximum(known, 0)

    def found(x, mask, known, whole):  # At once, for each by itself would be compiled by itself.
        told = [hmm.log_likelihood(x, mask, y) for y in (None, known, whole)]
        return told, [hmm.posteriors(x, mask, y) for y in (None, known)], hmm.decode(x, mask, k=3)

    values = [ops.convert_to_tensor(value) for value in (x, mask, known, whole)]
    told, chances, ways = keras.tree.map_structure(numbers, compiled(found)(*values))
    np.testing.assert_allclose(told[0], [p.log_partition() for p in paths], **close)
    for likelihood, y in zip(told[1:], (known, whole), strict=True):
        expected = [joint(p, row) for p, row in zip(paths, y, strict=True)]
        np.testing.assert_allclose(likelihood, expected, **close)
    np.testing.assert_allclose(chances[0], np.stack([p.marginals() for p in paths]), **close)
    np.testing.assert_allclose(chances[1], marginals_given(kind, x, mask, known, hmm), **close)
    best, best_scores = (numbers(y) for y in hmm.decode(x, mask))
    np.testing.assert_allclose(best_scores, ways[1][:, 0], **close)
    for row, p in enumerate(paths):
        tags, expected = p.best(3)
        np.testing.assert_allclose(ways[1][row, : len(tags)], expected, **close)
        np.testing.assert_allclose(p.score(best[row]), expected[0], **close)
        # Of paths of the same score any may be first.
        at = [p.score(path) for path in ways[0][row, : len(tags)]]
        np.testing.assert_allclose(at, expected, **close)
        assert len({tuple(path) for path in ways[0][row, : len(tags)]}) == len(tags)


def marginals_given(kind, x, mask, known, hmm) -> np.ndarray:
    """The probability of each state given the observations and the states that are known."""
    weights = [numbers(w) for w in hmm.weights]
    held = np.where(fits(known, hmm.num_states), emitted(kind, x, weights[2:]), -np.inf)
    chain = potentials(*weights[:2])
    return np.stack([Paths(chain, row, there).marginals() for row, there in zip(held, mask, strict=True)])


def fits(known: np.ndarray, states: int) -> np.ndarray:
    return (known < 0)[:, :, None] | (known[:, :, None] == np.arange(states))


@pytest.mark.eager
@pytest.mark.parametrize(
    "kind, final",
    [
        pytest.param("discrete", True, marks=pytest.mark.slow_on_jax),
        ("gaussian", False),
        pytest.param("scores", True, marks=pytest.mark.slow_on_jax),
    ],
)
def test_gradients_are_those_of_finite_differences(kind, final):
    rng = np.random.default_rng(1)
    hmm = random_hmm(kind, 3, rng, final=final)
    x, mask = observations(kind, 3, rng)[:5], random_masks(rng)[:5]
    known = np.where(rng.random(mask.shape) < 0.3, rng.integers(0, 3, mask.shape), -1)

    def reference(*weights):
        return sum(
            p.log_partition() + 0.5 * joint(p, row)
            for p, row in zip(paths_of(kind, x, mask, list(weights)), known, strict=True)
        )

    def likelihood():
        return ops.sum(hmm.log_likelihood(x, mask) + 0.5 * hmm.log_likelihood(x, mask, known))

    found = gradients(list(hmm.weights), likelihood)
    expected = finite_differences(reference, [numbers(w) for w in hmm.weights])
    for gradient, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=5e-5)


def random_problem(kind: str, states: int, seed: int):
    """Observations of a random chain, so that there is something to find."""
    rng = np.random.default_rng(seed)
    path = rng.integers(0, states, (6, 12))
    for step in range(1, 12):
        path[:, step] = np.where(rng.random(6) < 0.7, path[:, step - 1], path[:, step])
    x = (path * 3 + rng.integers(0, 2, path.shape)) % SYMBOLS
    if kind == "gaussian":
        x = rng.normal(size=(*path.shape, FEATURES)) + path[..., None] * rng.normal(size=FEATURES)
    mask = rng.random(path.shape) < 0.9
    return x, mask, np.where(rng.random(path.shape) < 0.2, path, -1)


def exact_likelihood(hmm: HMM, kind: str, x, mask, known) -> float:
    """The sum of log p(x, known states), by a plain forward recursion in float64."""
    weights = [numbers(w) for w in hmm.weights]
    chain, logs = potentials(*weights[:2]), emitted(kind, x, weights[2:])
    total = 0.0
    for row, there in zip(np.where(fits(known, hmm.num_states), logs, -np.inf), mask, strict=True):
        steps = row[there]
        forward = chain.start + steps[0]
        for step in steps[1:]:
            forward = np.logaddexp.reduce(forward[:, None] + chain.transitions, axis=0) + step
        total += np.logaddexp.reduce(forward + chain.end)
    return total


CLIMBS = [
    pytest.param("discrete", 2, False, marks=pytest.mark.slow),
    ("discrete", 4, True),
    ("gaussian", 3, False),
]


@pytest.mark.parametrize("kind, states, final", CLIMBS)
def test_the_likelihood_never_falls(kind, states, final):
    """Six problems each, in half of which some states are known; judged in float64 after every iteration."""
    hmm = random_hmm(kind, states, np.random.default_rng(0), final=final)
    for seed in range(6):
        x, mask, known = random_problem(kind, states, seed)
        known = known if seed % 2 else np.full_like(known, -1)
        hmm.initialize(x, mask, seed=seed)
        exact = [exact_likelihood(hmm, kind, x, mask, known)]
        for _ in range(6):
            history = hmm.fit_em(x, mask, known, iterations=1, tolerance=0.0)
            np.testing.assert_allclose(history[0], exact[-1], rtol=1e-5)
            exact.append(exact_likelihood(hmm, kind, x, mask, known))
        assert exact[-1] > exact[0]
        assert np.diff(exact).min() > -1e-6 * abs(exact[0]), np.diff(exact)


@pytest.mark.slow
def test_a_climb_ends_when_it_gains_nothing_and_repeats_by_its_seed():
    x, mask, _ = random_problem("discrete", 3, 0)
    hmm = HMM(3, num_symbols=SYMBOLS)
    histories = []
    for _ in range(2):
        hmm.initialize(x, mask, seed=7)
        histories.append(hmm.fit_em(x, mask, iterations=500, tolerance=1e-4, batch_size=3))
    assert histories[0] == histories[1]
    gains = np.diff(histories[0])
    assert len(gains) < 500 and gains[-1] < 1e-4 * mask.sum() <= gains[:-1].min()
    hmm.initialize(x, mask, seed=7)  # In batches or at once is the same.
    np.testing.assert_allclose(hmm.fit_em(x, mask, iterations=5), histories[0][:6], rtol=1e-5)


def hmmlearn_problem(kind: str, states: int):
    rng = np.random.default_rng(3)
    lengths = np.array([9, 7, 12, 5])
    mask = np.arange(12) < lengths[:, None]
    x = rng.integers(0, SYMBOLS, mask.shape)
    if kind == "gaussian":
        x = rng.normal(size=(*mask.shape, FEATURES)) + 2.0 * rng.integers(0, states, mask.shape)[..., None]
    start = rng.dirichlet(np.ones(states))
    transitions = rng.dirichlet(np.ones(states) * 2, states)
    values = {"start": start, "transitions": transitions}
    if kind == "discrete":
        values["emissions"] = rng.dirichlet(np.ones(SYMBOLS) * 2, states)
    else:
        values["means"] = rng.normal(size=(states, FEATURES)) + np.arange(states)[:, None]
        values["variances"] = rng.uniform(0.5, 2.0, (states, FEATURES))
    return x, mask, lengths, values


@pytest.mark.eager
@pytest.mark.slow_on_jax
@pytest.mark.parametrize("kind", ["discrete", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_agrees_with_hmmlearn_from_the_same_start(kind):
    from hmmlearn import hmm as peers

    iterations = 10
    x, mask, lengths, values = hmmlearn_problem(kind, 3)
    options = dict(n_iter=iterations, tol=-np.inf, init_params="")
    if kind == "discrete":
        peer = peers.CategoricalHMM(3, n_features=SYMBOLS, params="ste", **options)
        peer.emissionprob_ = values["emissions"]
    else:
        # Without its priors; what is left is the likelihood alone.
        peer = peers.GaussianHMM(3, "diag", params="stmc", covars_prior=0.0, **options)
        peer.n_features = FEATURES
        peer.means_, peer.covars_ = values["means"], values["variances"]
    peer.startprob_, peer.transmat_ = values["start"], values["transitions"]
    ours = HMM(3, kind, **KINDS[kind])
    ours.set_probabilities(**values)
    flat = x[mask] if kind == "gaussian" else x[mask][:, None]

    np.testing.assert_allclose(ours.fit_em(x, mask, iterations=0), [peer.score(flat, lengths)], rtol=1e-5)
    history = ours.fit_em(x, mask, iterations=iterations, tolerance=-np.inf)
    peer.fit(flat, lengths)
    np.testing.assert_allclose(history[:iterations], list(peer.monitor_.history), rtol=1e-5)
    found = ours.probabilities()
    expected = {"start": peer.startprob_, "transitions": peer.transmat_}
    if kind == "discrete":
        expected["emissions"] = peer.emissionprob_
    else:
        expected["means"] = peer.means_
        expected["variances"] = np.diagonal(peer.covars_, axis1=1, axis2=2)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
    log_likelihood = numbers(ours.log_likelihood(x, mask))
    np.testing.assert_allclose(log_likelihood.sum(), peer.score(flat, lengths), rtol=1e-4)
    np.testing.assert_allclose(
        numbers(ours.posteriors(x, mask))[mask], peer.predict_proba(flat, lengths), atol=1e-4
    )
    np.testing.assert_array_equal(numbers(ours.decode(x, mask)[0])[mask], peer.predict(flat, lengths))


@pytest.mark.eager
def test_counts_are_exact():
    x = np.array([[0, 1, 2, 3], [3, 3, 0, 1], [2, -1, 0, 0]])
    states = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [-1, 1, 1, 0]])
    mask = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)
    # What is left: 0 0 1 1 with 0 1 2 3; 1 0 with 3 0; ? 1 0 with 2 ? 0.
    hmm = HMM(2, num_symbols=4, final=True)
    hmm.fit_supervised(x, states, mask)
    found = hmm.probabilities()
    np.testing.assert_allclose(found["start"], [1 / 2, 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(found["transitions"], [[1 / 4, 1 / 4], [2 / 4, 1 / 4]], rtol=1e-6)
    np.testing.assert_allclose(found["final"], [2 / 4, 1 / 4], rtol=1e-6)
    np.testing.assert_allclose(found["emissions"], [[3 / 4, 1 / 4, 0, 0], [0, 0, 1 / 3, 2 / 3]], rtol=1e-6)
    hmm.fit_supervised(x, states, mask, smoothing=1.0, emission_smoothing=0.5)
    found = hmm.probabilities()
    np.testing.assert_allclose(found["transitions"], [[2 / 7, 2 / 7], [3 / 7, 2 / 7]], rtol=1e-6)
    np.testing.assert_allclose(found["emissions"][0], [3.5 / 6, 1.5 / 6, 0.5 / 6, 0.5 / 6], rtol=1e-6)


@pytest.mark.slow_on_jax
@pytest.mark.eager
def test_zero_counts_forbid_and_stay_finite():
    x = np.array([[0, 1, 0, 1], [0, 1, 0, 0]])
    hmm = HMM(3, num_symbols=3)
    before = hmm.probabilities()
    hmm.fit_supervised(x, x)
    after = hmm.probabilities()
    np.testing.assert_allclose(after["emissions"][:2], np.eye(2, 3), atol=1e-7)
    for name in ("transitions", "emissions"):  # A state that never occurs keeps what it had.
        np.testing.assert_allclose(after[name][2], before[name][2], rtol=1e-5)
    likelihood = numbers(hmm.log_likelihood(np.array([[0, 1], [1, 0], [0, 2]])))
    assert np.isfinite(likelihood[0]) and (likelihood[1:] < -1e29).all()
    np.testing.assert_array_equal(numbers(hmm.decode(x)[0]), x)
    with pytest.raises(ValueError, match="sequence 0 cannot be under the current weights"):
        hmm.fit_em(np.array([[1, 0]]))


def test_gaussians_of_known_states_are_their_means_and_variances():
    rng = np.random.default_rng(0)
    states = np.arange(60).reshape(4, 15) % 3
    x = 1e3 + rng.normal(size=(4, 15, 2)) * (1 + states[..., None])  # Far from where the weights are.
    hmm = HMM(3, "gaussian", num_features=2)
    hmm.fit_supervised(x, states)
    found = hmm.probabilities()
    for state in range(3):
        own = x[states == state]
        np.testing.assert_allclose(found["means"][state], own.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(found["variances"][state], own.var(axis=0), rtol=1e-4)
    hmm.fit_supervised(np.ones((4, 15, 2)), states)
    np.testing.assert_allclose(hmm.probabilities()["variances"], hmm.min_variance, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.slow_on_jax
def test_known_states_name_what_em_finds():
    rng = np.random.default_rng(5)
    states = np.zeros((20, 20), "int64")
    for step in range(1, 20):
        states[:, step] = np.where(rng.random(20) < 0.9, states[:, step - 1], rng.integers(0, 3, 20))
    x = states[..., None] * 3.0 + rng.normal(size=(20, 20, 1))
    known = np.where(rng.random(states.shape) < 0.1, states, -1)
    hmm = HMM(3, "gaussian", num_features=1)
    hmm.initialize(x, seed=1)
    hmm.fit_em(x, states=known, iterations=50)
    assert (numbers(hmm.decode(x)[0]) == states).mean() > 0.95
    np.testing.assert_allclose(hmm.probabilities()["means"][:, 0], [0, 3, 6], atol=0.4)
    chances = numbers(hmm.posteriors(x, states=known))
    assert (chances[known >= 0].argmax(axis=1) == known[known >= 0]).all()


@keras.saving.register_keras_serializable("test_hmm")
class Marginal(keras.Model):
    """Learns an HMM over a dense layer's scores by the likelihood of the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3)
        self.hmm = HMM(3, "scores")

    def call(self, x):
        return ops.log_softmax(self.dense(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -ops.mean(self.hmm.log_likelihood(y_pred, states=y))


@pytest.mark.slow
def test_learns_in_fit():
    rng = np.random.default_rng(0)
    y = np.cumsum(rng.integers(0, 2, (32, 8)), axis=1) % 3  # State n goes on, or to n + 1.
    x = np.eye(3, dtype="float32")[y] + rng.normal(size=(32, 8, 3), scale=0.5).astype("float32")
    keras.utils.set_random_seed(0)
    model = Marginal()
    model.compile(keras.optimizers.Adam(0.2))
    losses = model.fit(x, y, batch_size=16, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 4.0  # Of about 8 tags, each followed by one of two.
    counted = HMM(3, "scores")
    counted.fit_supervised(np.zeros((32, 8, 3)), y)  # What the gradient climbs to as well.
    np.testing.assert_allclose(
        model.hmm.probabilities()["transitions"], counted.probabilities()["transitions"], atol=0.05
    )


@pytest.mark.eager
@pytest.mark.parametrize("kind", KINDS)
def test_survives_a_keras_file_and_mixed_precision(kind, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        hmm = random_hmm(kind, 3, np.random.default_rng(0), final=True, seed=3)
        assert {weight.dtype for weight in hmm.weights} == {"float32"}
        x = observations(kind, 3, np.random.default_rng(1))
        inputs = keras.Input(x.shape[1:], dtype="int32" if kind == "discrete" else "float32")
        model = keras.Model(inputs, hmm(inputs))
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(hmm.log_likelihood(x).dtype) == "float32"
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.layers[-1].get_config() == hmm.get_config()
    for name, value in loaded.layers[-1].probabilities().items():
        np.testing.assert_array_equal(value, hmm.probabilities()[name])


@pytest.mark.slow_on_jax
@pytest.mark.tensorflow
def test_survives_a_saved_model_of_any_size(tmp_path):
    import tensorflow as tf

    inputs = keras.Input((None,), dtype="int32")
    model = keras.Model(inputs, random_hmm("discrete", 3, np.random.default_rng(0))(inputs))
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    for count, time in ((2, 5), (7, 1)):
        x = np.random.default_rng(time).integers(0, SYMBOLS, (count, time)).astype("int32")
        np.testing.assert_array_equal(served.serve(x).numpy(), model.predict(x, verbose=0))


BAD_FIELDS = {
    "unknown kind": (("gausian",), {}, "Did you mean 'gaussian'"),
    "no symbols": (("discrete",), {}, "need num_symbols of at least 1; received None"),
    "not theirs": (("scores",), {"num_features": 2}, "num_features is for gaussian emissions"),
    "variance": (("gaussian",), {"num_features": 2, "min_variance": 0.0}, "min_variance must be above 0"),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_bad_fields_are_named(case):
    arguments, options, message = BAD_FIELDS[case]
    with pytest.raises(ValueError, match=message):
        HMM(3, *arguments, **options)
    with pytest.raises(ValueError, match="num_states must be a whole number of at least 1"):
        HMM(0, "scores")


def test_bad_values_are_named():
    hmm, x = HMM(2, num_symbols=3), np.zeros((2, 4), int)
    cases = {
        r"observations of shape \(batch, time\) of whole numbers; received \(2, 4, 3\)": lambda: hmm.decode(
            np.zeros((2, 4, 3))
        ),
        r"mask of shape \(batch, time\)": lambda: hmm.decode(x, np.ones((2, 3), bool)),
        r"expected mask of shape \(2, 4\)": lambda: hmm.fit_em(x, np.ones((2, 3), bool)),
        r"expected states of shape \(2, 4\)": lambda: hmm.fit_supervised(x, np.ones((2, 3), int)),
        "state 2 of sequence 0, step 0 is outside 0 to 1": lambda: hmm.fit_supervised(x, x + 2),
        "symbol 3 is outside 0 to 2": lambda: hmm.fit_em(x + 3),
        "no step to learn from": lambda: hmm.fit_em(x, x > 0),
        "smoothing must not be negative": lambda: hmm.fit_supervised(x, x, smoothing=-1.0),
        "Did you mean 'transitions'": lambda: hmm.set_probabilities(transition=np.eye(2)),
        r"expected start of shape \(2,\)": lambda: hmm.set_probabilities(start=np.ones(3)),
        "must be finite": lambda: HMM(2, "gaussian", num_features=1).fit_em(np.full((1, 2, 1), np.nan)),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_probabilities_of_a_single_state_and_symbol():
    """Without a word, of which Keras has one for the softmax of a single number."""
    found = HMM(1, num_symbols=1, final=False).probabilities()
    assert {name: values.tolist() for name, values in found.items()} == {
        "start": [1.0],
        "transitions": [[1.0]],
        "emissions": [[1.0]],
    }
