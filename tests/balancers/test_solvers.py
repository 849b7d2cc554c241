"""Solvers of small dense problems against references that share nothing with them."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import optimize

from mtlkeras._backends import SOLVER_DTYPE, compiled, solve_positive
from mtlkeras.balancers import _faces, _newton, _solvers, _two_tasks
from mtlkeras.balancers._matrices import OPPOSED, RIDGE, SHORT, cosines_of

CLOSE = 1e-6 if keras.backend.backend() == "tensorflow" else 2e-4


def gram_matrices(count):
    """Of gradients of rank 1 to K that agree or not, with a pair that is equal or opposed in some."""
    rng = np.random.default_rng(count)
    found = []
    for size in (1, 2, count, 3 * count):
        for common in (0.0, 1.0, -0.7):
            rows = rng.normal(size=(count, size)) + common * rng.normal(size=size)
            found.append(rows)
            found.append(np.concatenate([rows[:-1], rng.choice([1.0, -1.0, -0.3]) * rows[:1]]))
    return np.stack([rows @ rows.T / (rows**2).sum(1).max() for rows in found])


def tensors(*arrays):
    return [ops.convert_to_tensor(np.asarray(array, SOLVER_DTYPE)) for array in arrays]


def all_solved(solver, *stacks):
    return np.asarray(compiled(lambda *c: ops.map(lambda one: solver(*one), c))(*tensors(*stacks)), "float64")


def cosines(grams):
    return np.stack([np.asarray(cosines_of(g, np.sqrt(g.diagonal()))) for g in grams])


def test_positive_definite_systems():
    rng = np.random.default_rng(0)
    for count in (1, 2, 5):
        roots = rng.normal(size=(3, count, count))
        matrix, right = roots @ roots.swapaxes(1, 2) + np.eye(count), rng.normal(size=(3, count, 2))
        found = compiled(solve_positive)(*tensors(matrix, right))
        np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_minimum_of_a_quadratic_over_what_is_not_negative(count):
    matrices = cosines(gram_matrices(count))
    points = np.abs(np.random.default_rng(1).normal(size=(len(matrices), count)))
    linear = np.einsum("nij,nj->ni", matrices, points * (np.arange(count) != 1))
    found = all_solved(_solvers.nonnegative_minimum, matrices, linear)
    for matrix, q, x in zip(matrices, linear, found, strict=True):
        # With A = R'R it is a problem of nonnegative least squares.
        root = np.linalg.cholesky(matrix + RIDGE * np.eye(count)).T
        best, _ = optimize.nnls(root, -np.linalg.solve(root.T, q))
        value, least = (0.5 * v @ matrix @ v + q @ v for v in (x, best))
        assert (x >= 0).all() and value <= least + CLOSE


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_shortest_convex_combination(count):
    grams = gram_matrices(count)
    lengths = np.sqrt(np.stack([g.diagonal() for g in grams]))
    ratios = lengths.min(1, keepdims=True) / lengths
    weights = all_solved(_solvers.shortest, cosines(grams), ratios) * ratios
    for gram, w, shortest in zip(grams, weights, lengths.min(1), strict=True):
        w = w / w.sum()
        # By Frank and Wolfe's bound nothing is much shorter.
        assert (w >= 0).all() and w @ gram @ w - (gram @ w).min() <= 10 * CLOSE * shortest**2


def test_ways_to_the_minimum_agree():
    for count, module in ((2, _two_tasks), (5, _faces)):
        matrices = cosines(gram_matrices(count)) + 0.1 * np.eye(count)
        linear = np.random.default_rng(2).normal(size=(len(matrices), count))
        found = [all_solved(m.nonnegative_minimum, matrices, linear) for m in (module, _newton)]
        np.testing.assert_allclose(*found, atol=10 * CLOSE)


@pytest.mark.parametrize("c", [0.2, 0.9])
def test_best_direction_for_two_tasks_by_a_grid(c):
    grams = gram_matrices(2)
    linear = grams.mean(2)
    radius = c * np.sqrt(np.maximum(linear.mean(1), 0.0))
    ones = np.ones_like(linear)
    share = np.linspace(0.0, 1.0, 20001)
    grid = np.stack([share, 1.0 - share], axis=1)
    for module in (_two_tasks, _newton):
        found = all_solved(module.towards, grams, linear, radius, ones)
        for gram, q, r, unit in zip(grams, linear, radius, found, strict=True):
            lengths = np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", grid, gram, grid), 0.0) + SHORT**2)
            w = unit / unit.sum()
            value = q @ w + r * np.sqrt(max(w @ gram @ w, 0.0) + SHORT**2)
            assert value <= (grid @ q + r * lengths).min() + CLOSE


def test_best_direction_with_one_of_two_tasks_is_its_own():
    present = np.eye(2)
    grams = present[:, None] * np.eye(2)
    found = all_solved(_two_tasks.towards, grams, present, [0.5, 0.5], present)
    np.testing.assert_allclose(found, present, atol=1e-5)


def test_fair_point_of_two_tasks_solves_its_equation():
    matrices = cosines(gram_matrices(2))
    found = all_solved(lambda c: _solvers.fair_point(c, ops.ones_like(c[0]), 1.0), matrices)
    for matrix, b in zip(matrices + OPPOSED * np.eye(2), found, strict=True):
        if np.linalg.eigvalsh(matrix)[0] > 1e-3:
            np.testing.assert_allclose(b * (matrix @ b), 1.0, rtol=1e-4)


def test_spectrum_of_two_tasks():
    rng = np.random.default_rng(3)
    matrices = [*gram_matrices(2), np.eye(2), np.diag([2.0, 1.0]), np.diag([0.0, 1.0]), np.zeros((2, 2))]
    matrices += [np.diag(rng.random(2)) + 1e-9 for _ in range(4)]
    solve = compiled(_solvers.spectrum)
    for matrix in matrices:
        values, vectors, kept = map(np.asarray, solve(*tensors(matrix)))
        expected = np.linalg.eigvalsh(matrix)
        np.testing.assert_allclose(values, expected, atol=1e-6)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(2), atol=1e-6)
        np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, matrix, atol=1e-6)
        assert kept[1] == (expected[1] > 0)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_nearest_point_of_the_simplex(count):
    rng = np.random.default_rng(count)
    points = np.round(np.array([[0.1], [1.0], [10.0]]) * rng.normal(size=(3, count)), 1)  # Some are equal.
    present = (rng.random((3, count)) < 0.8) * 1.0
    present[:, 0] = 1.0
    found = all_solved(_solvers.onto_simplex, points, present)
    for point, mask, nearest in zip(points, present, found, strict=True):

        def excess(loss, point=point, mask=mask):
            return (np.maximum(point - loss, 0.0) * mask).sum() - 1.0

        # What all lose makes the sum 1.
        loss = optimize.brentq(excess, -1e3, 1e3)
        np.testing.assert_allclose(nearest, np.maximum(point - loss, 0.0) * mask, atol=1e-5)
