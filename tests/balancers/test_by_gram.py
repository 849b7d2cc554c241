"""Balancers by the Gram matrix against their definitions, reference solvers and invariances."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from scipy import optimize

from mtlkeras._backends import compiled
from mtlkeras.balancers import (
    IMTLG,
    MGDA,
    AlignedMTL,
    CAGrad,
    ConFIG,
    DualProj,
    FairGrad,
    GradNorm,
    GradVac,
    NashMTL,
    PCGrad,
    UPGrad,
)
from mtlkeras.balancers.base import Problem

A = np.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
# What the update is on A; TorchJD 0.18 gives the same, UPGrad and DualProj without its regulariser.
ON_A = {
    MGDA(): (0, 1, 1),
    PCGrad(): (0.5848, 3.8012, 3.8012),
    GradVac(): (0.5848, 3.8012, 3.8012),
    IMTLG(): (0.0767, 1, 1),
    CAGrad(c=0.5): (0.1835, 1.2041, 1.2041),
    NashMTL(): (0.0542, 0.7061, 0.7061),
    FairGrad(a=1.0): (0.0766, 0.9985, 0.9985),
    AlignedMTL(): (0.2133, 0.9673, 0.9673),
    UPGrad(): (0.2924, 1.9006, 1.9006),
    DualProj(): (0.5556, 1.1111, 1.1111),
    ConFIG(): (0.1588, 2.0706, 2.0706),
}
ALL = [*ON_A, GradNorm(), MGDA(normalization="length"), CAGrad(c=0.9, rescale=True), FairGrad(a=2.0)]
ALL += [AlignedMTL(scale="median"), AlignedMTL(scale="rmse"), FairGrad(a=0.5), NashMTL(max_norm=None)]
# Solvers work in float64 on TensorFlow and in float32 on JAX.
CLOSE = 1e-4 if keras.backend.backend() == "tensorflow" else 3e-3


def gradients(count=5, size=30, seed=0, spread=0.0, common=0.0):
    """Rows of task gradients; `common` makes them agree, `spread` their lengths differ."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, size)) + common * rng.normal(size=size)
    return rows * np.exp(spread * rng.normal(size=(count, 1)))


def solved(balancer, rows, **known):
    return np.asarray(balancer.weights(rows @ rows.T, **known), "float64")


MATRICES = [
    gradients(2, seed=1),
    gradients(3, seed=2, spread=1.0),
    gradients(5, seed=3, spread=2.0, common=0.5),
    gradients(8, seed=4, common=-0.3, spread=0.5),
    gradients(8, size=9, seed=5),
]


@pytest.mark.parametrize("balancer", ON_A, ids=repr)
def test_fixed_values(balancer):
    np.testing.assert_allclose(solved(balancer, A) @ A, ON_A[balancer], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
def test_mgda_is_the_shortest_convex_combination(rows):
    w = solved(MGDA(), rows)
    assert (w >= -1e-6).all() and abs(w.sum() - 1) < 1e-5
    gram = rows @ rows.T
    square = w @ gram @ w
    # Frank-Wolfe's gap bounds the distance to the minimum.
    assert square - (gram @ w).min() <= CLOSE * gram.diagonal().min()


@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
@pytest.mark.parametrize("c", [0.2, 0.5, 0.9])
def test_cagrad_has_the_best_worst_direction(rows, c):
    mean = rows.mean(0)
    radius = c * np.linalg.norm(mean)
    update = solved(CAGrad(c=c), rows) @ rows
    assert np.linalg.norm(update - mean) <= radius * (1 + CLOSE)

    def dual(w):
        combined = w @ rows
        return combined @ mean + radius * np.linalg.norm(combined)

    start = np.full(len(rows), 1 / len(rows))
    bounds, whole = [(0, 1)] * len(rows), {"type": "eq", "fun": lambda w: w.sum() - 1}
    best = optimize.minimize(
        dual, start, bounds=bounds, constraints=whole, method="SLSQP", options={"ftol": 1e-12}
    ).fun
    # By duality no direction does better than the least dual value.
    scale = np.linalg.norm(rows, axis=1).min() * np.linalg.norm(update)
    assert abs((rows @ update).min() - best) <= 10 * CLOSE * scale


def with_opposed_pair(rows, share=1.0):
    rows[1] = -share * rows[0]
    return rows


@pytest.mark.parametrize(
    "rows",
    [
        with_opposed_pair(gradients(4, size=6, seed=6)),
        with_opposed_pair(gradients(5, size=12, seed=7, common=0.5), share=0.999),
        gradients(11, size=2, seed=8),
        gradients(8, size=3, seed=9, spread=1.0),
        gradients(6, size=4, seed=10, common=-0.5),
    ],
    ids=["opposed pair", "nearly opposed pair", "11x2", "8x3, of other lengths", "6x4"],
)
@pytest.mark.parametrize("c", [0.2, 0.5, 0.9])
def test_cagrad_where_a_combination_of_the_gradients_vanishes(rows, c):
    # The dual problem has a kink there, so that the primal one is solved: the direction itself.
    mean = rows.mean(0)
    radius = c * np.linalg.norm(mean)
    inside = [
        {"type": "ineq", "fun": lambda p: rows @ p[:-1] - p[-1]},
        {"type": "ineq", "fun": lambda p: radius**2 - ((p[:-1] - mean) ** 2).sum()},
    ]
    start, least = np.append(mean, (rows @ mean).min()), {"ftol": 1e-12, "maxiter": 500}
    best = -optimize.minimize(lambda p: -p[-1], start, constraints=inside, method="SLSQP", options=least).fun
    update = solved(CAGrad(c=c), rows) @ rows
    assert np.linalg.norm(update - mean) <= radius * (1 + CLOSE)
    scale = np.linalg.norm(rows, axis=1).max() * np.linalg.norm(mean)
    assert best - (rows @ update).min() <= 3 * CLOSE * scale


@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
def test_nash_and_fair_weights_solve_their_equations(rows):
    gram = rows @ rows.T
    w = solved(NashMTL(max_norm=None), rows)
    np.testing.assert_allclose(gram @ w * w, 1.0, rtol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(w @ rows), np.sqrt(len(rows)), rtol=1e-3)
    np.testing.assert_allclose(w, solved(FairGrad(a=1.0), rows), rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(solved(NashMTL(max_norm=0.5), rows) @ rows), 0.5, rtol=1e-3)
    for a in (0.5, 2.0, 5.0):
        w = solved(FairGrad(a=a), rows)
        np.testing.assert_allclose(gram @ w, w ** (-1 / a), rtol=2e-3)


@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
def test_dual_cone_projections(rows):
    gram = rows @ rows.T
    count = len(rows)
    projections = []
    for start in [*np.eye(count) / count, np.full(count, 1 / count)]:
        # The projection of u onto the cone is u + G x, x >= 0 the nonnegative least squares to -u.
        x, _ = optimize.nnls(rows.T, -(start @ rows), maxiter=1000)
        projections.append((start + x) @ rows)
    size = np.linalg.norm(rows, axis=1).max()
    for update, expected in (
        (solved(UPGrad(), rows) @ rows, sum(projections[:-1])),
        (solved(DualProj(), rows) @ rows, projections[-1]),
    ):
        np.testing.assert_allclose(update, expected, atol=10 * CLOSE * size)
        assert (rows @ update >= -10 * CLOSE * np.sqrt(gram.diagonal()) * size).all()


@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
def test_imtl_projections_are_equal(rows):
    w = solved(IMTLG(), rows)
    np.testing.assert_allclose(w.sum(), 1.0, rtol=1e-4)
    projections = rows @ (w @ rows) / np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(projections, projections.mean(), rtol=5e-3, atol=1e-5)


@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
def test_config_has_one_cosine_with_all(rows):
    update = solved(ConFIG(), rows) @ rows
    cosines = rows @ update / np.linalg.norm(rows, axis=1) / np.linalg.norm(update)
    np.testing.assert_allclose(cosines, cosines.mean(), atol=1e-3)
    length = (rows @ update).sum() / np.linalg.norm(update)
    np.testing.assert_allclose(np.linalg.norm(update), length, rtol=1e-3)


@pytest.mark.parametrize("scale", ["min", "median", "rmse"])
@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
def test_aligned_gradients_have_condition_number_one(rows, scale):
    # Each preference for one task alone gives one row of the map to the aligned system.
    count = len(rows)
    to_aligned = np.stack([solved(AlignedMTL(scale=scale, preference=tuple(e)), rows) for e in np.eye(count)])
    singular = np.linalg.svd(to_aligned @ rows, compute_uv=False)
    np.testing.assert_allclose(singular / singular[0], 1.0, rtol=2e-3)
    values = np.linalg.svd(rows, compute_uv=False)
    expected = {"min": values.min(), "median": np.sort(values)[(count - 1) // 2 + (count + 1) % 2 * 0]}
    expected["rmse"] = np.sqrt((values**2).mean())
    if scale != "median" or count % 2:
        np.testing.assert_allclose(singular[0], expected[scale], rtol=2e-3)


@pytest.mark.parametrize("rows", MATRICES, ids=lambda r: f"{len(r)}x{r.shape[1]}")
def test_pcgrad_and_gradvac_by_the_gradients_themselves(rows):
    count = len(rows)

    def surgery(order, targets=None):
        parts = rows.copy()
        for i, others in enumerate(order):
            for j in others:
                if i == j:
                    continue
                cosine = parts[i] @ rows[j] / np.linalg.norm(parts[i]) / np.linalg.norm(rows[j])
                if targets is None and cosine < 0:
                    parts[i] -= parts[i] @ rows[j] / (rows[j] @ rows[j]) * rows[j]
                    assert abs(parts[i] @ rows[j]) < 1e-9 * (rows[j] @ rows[j])  # No conflict is left.
                elif targets is not None:
                    t = targets[i, j]
                    if cosine < t:
                        length = np.linalg.norm(parts[i])
                        more = length * (t * np.sqrt(1 - cosine**2) - cosine * np.sqrt(1 - t**2))
                        parts[i] += more / np.linalg.norm(rows[j]) / np.sqrt(1 - t**2) * rows[j]
                    targets[i, j] += 0.1 * (cosine - t)
        return parts.sum(0)

    in_order = [range(count)] * count
    size = np.linalg.norm(rows, axis=1).max()
    np.testing.assert_allclose(solved(PCGrad(), rows) @ rows, surgery(in_order), atol=1e-4 * size)
    noise = np.random.default_rng(0).random((count, count)).astype("float32")
    problem = Problem(None, np.ones(count, "float32"), None, {}, noise=noise, gram=rows @ rows.T)
    weights = np.asarray(PCGrad().solve(problem)[0])
    np.testing.assert_allclose(weights @ rows, surgery(noise.argsort(-1)), atol=1e-4 * size)

    vaccine, memory = GradVac(beta=0.1), {"cosines": np.zeros((count, count), "float32")}
    targets = np.zeros((count, count))
    for _ in range(3):
        weights, memory = vaccine.solve(problem._replace(noise=None, memory=memory))
        np.testing.assert_allclose(np.asarray(weights) @ rows, surgery(in_order, targets), atol=1e-3 * size)
        np.testing.assert_allclose(memory["cosines"], targets, atol=1e-4)


def test_orders_drawn_in_a_graph_are_those_of_the_seed():
    rows = gradients(4, size=3, seed=8)
    for balancer in (PCGrad(), GradVac()):
        drawn = compiled(lambda gram, balancer=balancer: balancer.weights(gram, seed=3))
        gram = ops.convert_to_tensor((rows @ rows.T).astype("float32"))
        found = np.asarray(drawn(gram))
        np.testing.assert_allclose(found, solved(balancer, rows, seed=3), rtol=1e-4)
        assert abs(found - solved(balancer, rows)).max() > 1e-3  # Not in the order of the tasks.


def test_gradnorm_by_its_formula():
    rows = gradients(3, spread=1.0)
    lengths = np.linalg.norm(rows, axis=1)
    balancer = GradNorm(alpha=1.5, learning_rate=0.05)
    memory = balancer.memory([None] * 3)
    problem = Problem(np.array([1, 2, 4], "float32"), np.ones(3, "float32"), None, memory, gram=rows @ rows.T)
    weights, memory = balancer.solve(problem)
    np.testing.assert_allclose(weights, 1.0)
    first, now = np.array([1.0, 2, 4]), np.array([0.5, 2, 3])
    w = np.asarray(memory["task_weights"], "float64")
    np.testing.assert_allclose(memory["first"], first)
    weights, memory = balancer.solve(problem._replace(losses=now.astype("float32"), memory=memory))
    np.testing.assert_allclose(weights, w, rtol=1e-5)
    rate = now / first / (now / first).mean()
    mean = (w * lengths).mean()
    w = w - 0.05 * np.sign(w * lengths - mean * rate**1.5) * lengths / mean
    np.testing.assert_allclose(memory["task_weights"], 3 * w / w.sum(), rtol=1e-4)


@pytest.mark.parametrize("balancer", [b for b in ALL if not isinstance(b, (PCGrad, GradVac))], ids=repr)
def test_permuting_the_tasks_permutes_the_weights(balancer):
    rows, order = gradients(5, common=0.5, spread=0.5), [3, 1, 4, 0, 2]
    losses = np.array([1, 2, 3, 4, 5], "float32")
    straight = solved(balancer, rows, losses=losses)
    permuted = solved(balancer, rows[order], losses=losses[order])
    np.testing.assert_allclose(permuted, straight[order], rtol=10 * CLOSE, atol=CLOSE)


def test_pcgrad_treats_all_orders_alike():
    # Over all orders of two others, what a task gets does not depend on where it stands.
    rows = gradients(3, seed=8, common=-0.5)
    noises = [np.array(p, "float32") for p in itertools.permutations(range(3))]

    def mean(rows):
        found = []
        for choice in itertools.product(noises, repeat=3):
            problem = Problem(
                None, np.ones(3, "float32"), None, {}, np.ones(3), np.stack(choice), rows @ rows.T
            )
            found.append(np.asarray(PCGrad().solve(problem)[0]))
        return np.mean(found, axis=0)

    np.testing.assert_allclose(mean(rows[[2, 0, 1]]), mean(rows)[[2, 0, 1]], rtol=1e-4)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
@pytest.mark.parametrize("balancer", ALL, ids=repr)
def test_scaling_all_gradients(balancer, factor):
    rows = gradients(4, common=0.5)
    plain, scaled = solved(balancer, rows), solved(balancer, rows * factor)
    if isinstance(balancer, (NashMTL, FairGrad)):
        power = 2 * balancer.a / (1 + balancer.a) if isinstance(balancer, FairGrad) else 1.0
        scaled = scaled * factor**power
    elif "length" in repr(balancer):
        scaled = scaled * factor  # A combination of unit gradients.
    np.testing.assert_allclose(scaled, plain, rtol=20 * CLOSE, atol=CLOSE)


@pytest.mark.parametrize("balancer", [NashMTL(), IMTLG(), MGDA(normalization="length")], ids=repr)
def test_direction_that_does_not_depend_on_the_scale_of_one_task(balancer):
    rows = gradients(4, common=0.5)
    other = rows * np.array([[1.0], [50.0], [1.0], [0.02]])
    one, two = solved(balancer, rows) @ rows, solved(balancer, other) @ other
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    np.testing.assert_allclose(cosine, 1.0, atol=1e-4)


@pytest.mark.parametrize("balancer", ALL, ids=repr)
def test_absent_task_leaves_the_weights_of_the_others(balancer):
    rows, losses = gradients(4, common=0.3, spread=0.5), np.array([1, 2, 3, 4], "float32")
    there = np.array([1, 0, 1, 1], "float32")
    few = [0, 2, 3]
    memory = balancer.memory([None] * 4)
    gram = (rows @ rows.T * np.outer(there, there)).astype("float32")
    problem = Problem(losses * there, there, np.full(4, 0.25, "float32"), memory, there, None, gram)
    weights = np.asarray(balancer.solve(problem)[0])
    assert weights[1] == 0.0
    np.testing.assert_allclose(
        weights[few], solved(balancer, rows[few], losses=losses[few]), rtol=10 * CLOSE, atol=CLOSE
    )


def near_singular(count, number, seed=0):
    """Gram matrices of gradients of which some are opposed, equal or zero, of lengths far apart."""
    rng = np.random.default_rng(seed)
    for i in range(number):
        rows = gradients(count, rng.integers(1, 2 * count + 2), rng, rng.choice([0.0, 3.0]), rng.normal())
        if i % 3 == 0:
            rows[-1] = -rows[0] * rng.choice([1.0, 0.999999, 1e-3])
        if i % 7 == 0:
            rows[0] = rows[1] * (1 + 1e-6)
        if i % 11 == 0:
            rows[0] = 0.0
        yield (rows @ rows.T).astype("float32")


@pytest.mark.parametrize("balancer", [b for b in ON_A if not isinstance(b, GradVac)], ids=repr)
def test_weights_stay_finite_near_singularity(balancer):
    solve = compiled(balancer.weights)
    for gram in near_singular(8, 100):
        weights = np.asarray(solve(ops.convert_to_tensor(gram)))
        assert np.isfinite(weights).all(), gram.tolist()


DEGENERATE = {
    "identical": np.tile([[1.0, 2.0, 3.0]], (4, 1)),
    "opposed": np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]]),
    "opposed, of other lengths": np.array([[1.0, 2.0, 3.0], [-1e3, -2e3, -3e3]]),
    "of rank 2": gradients(6, size=2),
    "tiny and huge": np.array([[1e-12], [1e12]]) * A,
    "far too many": gradients(20, size=6),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("balancer", ALL, ids=repr)
def test_degenerate_gradients_give_finite_and_sensible_weights(balancer, case):
    rows = DEGENERATE[case]
    weights = solved(balancer, rows)
    assert np.isfinite(weights).all(), weights
    update = weights @ rows
    # Nothing blows up: no update is much longer than the sum of all gradients, or the fixed
    # length of those that have one.
    limit = 10 * max(np.linalg.norm(rows, axis=1).sum(), 1.0)
    if isinstance(balancer, FairGrad):  # Its published update is as long as a power of the gradients says.
        limit = 1e5 * limit
    assert np.linalg.norm(update) <= limit
    if case == "opposed" and isinstance(balancer, (MGDA, NashMTL, IMTLG, UPGrad, DualProj, ConFIG, PCGrad)):
        assert np.linalg.norm(update) < 1e-2
    if case == "identical" and isinstance(balancer, (MGDA, IMTLG, UPGrad, DualProj)):
        np.testing.assert_allclose(update / rows[0], update[0] / rows[0, 0], rtol=1e-4)
        assert update[0] > 0
