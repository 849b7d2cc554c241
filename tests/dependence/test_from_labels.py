"""Trees of tasks from their labels."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

import mtlkeras
from mtlkeras._missing import UNSEEN
from mtlkeras.dependence import TaskChain
from mtlkeras.dependence._chow_liu import label_columns, mutual_information
from mtlkeras.heads import Classification, MultiLabel
from mtlkeras.trunks import MLP
from tests.support import EAGERLY


def noisy(values, share, rng, classes=3):
    return np.where(rng.random(len(values)) < share, rng.integers(0, classes, len(values)), values)


def labels(count=800):
    """The tree c - a, c - b, b - d, b - e, of three classes."""
    rng = np.random.default_rng(0)
    c = rng.integers(0, 3, count)
    a, b = noisy(c, 0.3, rng), noisy((c + 1) % 3, 0.2, rng)
    return {"a": a, "b": b, "c": c, "d": noisy(2 - b, 0.4, rng), "e": noisy(b, 0.3, rng)}


def pairs(chain):
    return {frozenset(pair) for pair in chain.tree}


TREE = {frozenset(pair) for pair in ("ca", "cb", "bd", "be")}


def test_the_tree_that_made_the_labels_is_found_with_labels_missing():
    y = labels()
    found = TaskChain.from_labels(y, conditional=True)
    assert pairs(found) == TREE and found.tree[0][0] == "a" and found.conditional
    assert TaskChain.from_labels(y, root="b").tree[0][0] == "b"
    rng = np.random.default_rng(1)
    gaps = {task: np.where(rng.random(len(v)) < 0.5, -1, v) for task, v in y.items()}
    as_given = {
        "a": np.where(gaps["a"] < 0, np.nan, gaps["a"]),
        "b": [None if v < 0 else "xyz"[v] for v in gaps["b"]],
        "c": gaps["c"][:, None],
        "d": np.where(gaps["d"] < 0, None, gaps["d"]),
        "e": np.where(gaps["e"] < 0, UNSEEN, gaps["e"]),
    }
    assert pairs(TaskChain.from_labels(gaps)) == pairs(TaskChain.from_labels(as_given)) == TREE


def test_it_is_the_best_of_all_trees_by_scikit_learns_mutual_information():
    y = labels(60)
    told = {frozenset(p): mutual_info_score(y[p[0]], y[p[1]]) for p in itertools.combinations(y, 2)}
    columns = list(label_columns(y).values())
    matrix = mutual_information(columns)
    for (i, one), (j, other) in itertools.combinations(enumerate(y), 2):
        assert matrix[i, j] == pytest.approx(told[frozenset((one, other))], abs=1e-9)

    def joined(edges):
        parts = [{task} for task in y]
        for edge in edges:
            touched = [part for part in parts if part & edge]
            parts = [part for part in parts if not part & edge] + [set().union(*touched)]
        return len(parts) == 1

    trees = [set(edges) for edges in itertools.combinations(told, 4) if joined(edges)]
    assert len(trees) == 125  # Cayley's 5^3.
    assert pairs(TaskChain.from_labels(y)) == max(trees, key=lambda edges: sum(told[e] for e in edges))


@pytest.mark.slow_on_jax
def test_labels_of_a_matrix_are_links_of_a_model():
    rng = np.random.default_rng(0)
    one = rng.integers(0, 2, 800)
    zero, kind = noisy(1 - one, 0.2, rng, 2), noisy(one, 0.4, rng, 3)
    matrix = np.stack([zero, one, noisy(zero, 0.3, rng, 2), noisy(one, 0.5, rng, 2)], axis=1)
    chain = TaskChain.from_labels({"kind": kind, "m": matrix})
    assert pairs(chain) == {
        frozenset(p) for p in [("m/1", "kind"), ("m/0", "m/1"), ("m/0", "m/2"), ("m/1", "m/3")]
    }
    assert chain.links == (("kind", "m"),)
    model = mtlkeras.build_model(
        (2,), MLP(depth=1, width=3), {"kind": Classification(3), "m": MultiLabel(4)}, dependence=chain
    )
    model.compile("sgd", run_eagerly=EAGERLY)
    x = np.ones((8, 2), "float32")
    assert np.isfinite(model.evaluate(x, {"kind": kind[:8], "m": matrix[:8]}, verbose=0)).all()


def test_what_is_no_label_is_told():
    for y, fields, message in [
        ([[0, 1]], {}, "expected a dict of label arrays by task; received list"),
        ({"a": [0, 1]}, {}, "labels of at least two links; received those of 'a'"),
        ({"a": [0, 1], "b": [0]}, {}, "as many labels for each task; received {'a': 2, 'b': 1}"),
        ({"a": [0, 1], "n": [0.5, 1.0]}, {}, "the labels of task 'n' are numbers such as 0.5"),
        (
            {"a": [0, 1], "b": np.zeros((2, 2, 2))},
            {},
            r"task 'b' must have the shape .* received \(2, 2, 2\)",
        ),
        ({"a": [0, 1], "bee": [0, 1]}, {"root": "be"}, "Unknown link 'be' in root=.*Did you mean 'bee'"),
        ({"a": [0, 1], "b": [0, 1]}, {"order": ("a", "b")}, "give the links of a chain as order=, or"),
    ]:
        with pytest.raises(ValueError, match=message):
            TaskChain.from_labels(y, **fields)
    nothing = TaskChain.from_labels({"a": [-1, -1], "b": [0, 1], "c": np.empty(2) * np.nan})
    assert len(nothing.tree) == 2
