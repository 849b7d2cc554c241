"""Likelihoods, marginals, modes and conditionals of chains and trees against sums over all assignments."""

import numpy as np
import pytest
from keras import ops

from mtlkeras.dependence import TaskChain
from mtlkeras.heads import Classification, MultiLabel, Ordinal
from tests.dependence import all_assignments as brute
from tests.support import softmax

FIVE = {task: Classification(4) for task in "abcde"}
MIXED = {"a": Classification(3), "m": MultiLabel(3, label_names=("x", "y", "z")), "o": Ordinal(4)}
CHAIN, TREE = {"order": tuple("abcde")}, {"tree": (("a", "b"), ("c", "a"), ("c", "d"), ("c", "e"))}
STAR = {"tree": (("b", "a"), ("b", "c"), ("b", "d"), ("e", "b"))}
CASES = {
    "chain": (FIVE, CHAIN),
    "tree": (FIVE, TREE),
    "star": (FIVE, STAR),
    "forest": (FIVE, {"tree": (("a", "e"), ("c", "b"), ("c", "d"))}),
    "directed chain": (FIVE, {**CHAIN, "directed": True}),
    "directed tree": (FIVE, {**TREE, "directed": True}),
    "conditional chain": (FIVE, {**CHAIN, "conditional": True}),
    "conditional directed star": (FIVE, {**STAR, "conditional": True, "directed": True}),
    "labels": ({"m": MultiLabel(6)}, {"order": ("m",)}),
    "mixed chain": (MIXED, {"order": ("o", "m", "a")}),
    "mixed tree": (MIXED, {"tree": (("m/y", "a"), ("o", "m/y"), ("m/0", "o"))}),
}


# Each operation is compiled for each shape on JAX.
MARKS = {
    **dict.fromkeys(CASES, pytest.mark.slow_on_jax),
    "conditional directed star": (),
    # What others have too.
    **dict.fromkeys(
        ("star", "forest", "directed chain", "conditional chain", "mixed chain"), pytest.mark.slow
    ),
}
MARKED = [pytest.param(c, marks=marks) for c, marks in MARKS.items()]


@pytest.fixture(params=MARKED, scope="module")
def case(request):
    """A layer, its scores, half of the labels, and the probability of every assignment."""
    heads, fields = CASES[request.param]
    layer, scores = brute.layer_and_scores(TaskChain(**fields), heads)
    return layer, scores, brute.some_labels(layer, scores), brute.joint_table(layer, scores)


def test_losses_are_the_conditionals_and_add_up_to_the_joint_likelihood(case):
    layer, scores, labels, table = case
    found = {
        t: ops.convert_to_numpy(x) for t, x in layer.losses_by_task(scores, brute.as_evidence(labels)).items()
    }
    assert {task: x.shape for task, x in found.items()} == {task: y.shape for task, y in labels.items()}
    ys, last = brute.by_link(layer, labels), brute.total(table)
    losses = brute.by_link(layer, found)
    for k in range(ys.shape[1]):
        upto = np.where(np.arange(ys.shape[1]) <= k, ys, -1)
        seen = brute.total(brute.fitting(table, upto))
        np.testing.assert_allclose(losses[:, k], np.log(last / seen), rtol=1e-5, atol=1e-5)
        assert (losses[:, k] == 0)[ys[:, k] < 0].all()
        last = seen
    np.testing.assert_allclose(losses.sum(1), -np.log(last), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("known", [False, True])
def test_outputs_are_the_marginals_and_the_mode_is_the_best_of_all(case, known):
    layer, scores, labels, table = case
    evidence = brute.as_evidence(labels) if known else {}
    fits = brute.fitting(table, brute.by_link(layer, labels)) if known else table
    given = layer.given(scores, evidence) if known else layer(scores)
    expected = brute.marginals(fits)
    for link, values in zip(layer.links, expected, strict=True):
        found = ops.convert_to_numpy(given[link.task]).astype("float64")
        if link.entry is not None:
            found = np.stack([np.zeros(len(found)), found[:, link.entry]], axis=1)
        np.testing.assert_allclose(softmax(found), values, rtol=1e-4, atol=1e-6)
    mode = {t: ops.convert_to_numpy(x) for t, x in layer.mode(scores, evidence).items()}
    np.testing.assert_array_equal(brute.by_link(layer, mode), brute.best(fits))


def test_rows_of_probabilities_are_uncertain_evidence():
    layer, scores = brute.layer_and_scores(TaskChain(**TREE), FIVE)
    rows = softmax(np.random.default_rng(3).normal(size=(brute.ROWS, 4)).astype("float32"))
    known = {"b": (ops.convert_to_tensor(rows), ops.ones((brute.ROWS,), "bool"))}
    found = ops.convert_to_numpy(layer.losses_by_task(scores, known)["b"])
    marginals = brute.marginals(brute.joint_table(layer, scores))[[k.task for k in layer.links].index("b")]
    np.testing.assert_allclose(found, -np.log((rows * marginals).sum(1)), rtol=1e-5)


def test_scores_and_tables_of_any_size_stay_finite():
    layer, scores = brute.layer_and_scores(TaskChain(**TREE), FIVE)
    layer.pairwise.assign(1e3 * ops.convert_to_numpy(layer.pairwise))
    large = {task: 1e4 * x for task, x in scores.items()}
    found = layer.losses_by_task(large, brute.as_evidence(brute.some_labels(layer, scores)))
    assert all(np.isfinite(ops.convert_to_numpy(x)).all() for x in found.values())
    assert all(np.isfinite(ops.convert_to_numpy(x)).all() for x in layer(large).values())


def test_the_penalty_is_of_all_tables_and_their_maps():
    layer, _ = brute.layer_and_scores(TaskChain(**CHAIN, conditional=True, l2=0.01), FIVE)
    weights = [ops.convert_to_numpy(w) for w in (layer.pairwise, layer.kernel)]
    found = [float(loss) for loss in layer.losses]
    np.testing.assert_allclose(found, [0.01 * (w**2).sum() for w in weights], rtol=1e-5)
