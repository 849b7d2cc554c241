"""Each head's metrics by name against scikit-learn, with missing labels, however batches fall."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras._model.objective import TaskObjective
from mtlkeras._model.task_metrics import MetricsOfTasks, TaskMetrics
from mtlkeras.heads import Classification, MultiLabel, Ordinal, Regression, Tagging

sk = pytest.importorskip("sklearn.metrics")

ROWS = 24
EPSILON = 2.0**-23
# Batches of one size, since JAX compiles each operation anew for another.
SPLITS = {"halves": np.arange(ROWS).reshape(2, -1), "every other": np.arange(ROWS).reshape(-1, 2).T}
HEADS = {
    "two": Classification(2),
    "seven": Classification(7),
    "labels": MultiLabel(2),
    "label": MultiLabel(1, threshold=0.25),
    "number": Regression(),
    "numbers": Regression(num_targets=2),
    "grade": Ordinal(7),
    "tags": Tagging(("a", "b", "c")),
}


def chances(rng, classes, rows=ROWS):
    """Probabilities in steps of 1/64, zeros and ties among them: exact in float32, no two in one bin."""
    return np.stack([rng.multinomial(64, rng.dirichlet(np.ones(classes))) / 64 for _ in range(rows)])


def example(task, seed):
    """Labels without gaps and outputs."""
    rng = np.random.default_rng(seed)
    if task in ("two", "seven", "grade"):
        classes = HEADS[task].num_classes
        return rng.integers(0, classes, ROWS), chances(rng, classes)
    if task in ("labels", "label"):
        shape = (ROWS, HEADS[task].num_labels)
        return rng.integers(0, 2, shape), rng.integers(0, 65, shape) / 64
    if task == "tags":
        return rng.integers(0, 3, (ROWS, 4)), chances(rng, 3, ROWS * 4).reshape(ROWS, 4, 3)
    labels = rng.normal(50.0, 7.0, (ROWS, HEADS[task].num_targets)).astype("float32")
    return labels, (labels + rng.normal(0, 3, labels.shape)).astype("float32")


def gap(y):
    return np.nan if y.dtype.kind == "f" else mtlkeras.MISSING


def some_missing(y, p, rng):
    return np.where(rng.random(y.shape) < 0.4, gap(y), y), p


def a_batch_missing(y, p, rng):
    y = y.copy()
    y[8:16] = gap(y)
    return y, p


def all_missing(y, p, rng):
    return np.full_like(y, gap(y)), p


def one_label(y, p, rng):
    y = np.full_like(y, gap(y))
    y.reshape(-1)[5] = 1
    return y, p


def labels_constant(y, p, rng):
    return np.full_like(y, 0.1 if y.dtype.kind == "f" else 1), p


def outputs_constant(y, p, rng):
    return y, np.broadcast_to(p[:1], p.shape).copy()


def outputs_right(y, p, rng):
    if p.shape == y.shape:
        return y, y.astype(p.dtype)
    return y, np.eye(p.shape[-1])[y]


def one_class_missing(y, p, rng):
    return np.where(y == 0, gap(y), y), p


PATTERNS = (
    lambda y, p, rng: (y, p),
    some_missing,
    a_batch_missing,
    all_missing,
    one_label,
    labels_constant,
    outputs_constant,
    outputs_right,
    one_class_missing,
)


def per_column(function, y, p, w, undefined=None):
    """The mean of a score over columns, each over its known entries, without those that are undefined."""
    values = []
    for column in range(y.shape[1]):
        known = w[:, column] > 0
        t = y[known, column]
        if undefined is not None and undefined(t):
            continue
        values.append(function(t, p[known, column], w[known, column]) if known.any() else 0.0)
    return np.mean(values) if values else 0.0


def auc(t, p, w):
    return sk.roc_auc_score(t, p, sample_weight=w)


def precision_area(t, p, w):
    return sk.average_precision_score(t, p, sample_weight=w) if t.any() else 0.0


def one_sided(t):
    return len(np.unique(t)) < 2


def of_classes(name, y, p, w):
    classes = p.shape[-1]
    known = w > 0
    y, p, w = y[known], p[known], w[known]
    if not len(y):
        return 0.0
    best = p.argmax(-1)
    average = {"average": "binary"} if classes == 2 else {"average": "macro", "labels": range(classes)}
    options = {"sample_weight": w, "zero_division": 0}
    rows, heavy = np.eye(classes, dtype=int)[y], np.repeat(w[:, None], classes, 1)
    one = slice(1, 2) if classes == 2 else slice(None)
    if name == "accuracy":
        return sk.accuracy_score(y, best, sample_weight=w)
    if name == "top_5_accuracy":
        # Ties count as in the top, as TensorFlow and JAX have it.
        return np.average((p > p[np.arange(len(y)), y, None]).sum(-1) < 5, weights=w)
    if name == "f1":
        return sk.f1_score(y, best, average="macro", labels=range(classes), **options)
    if name in ("precision", "recall"):
        return getattr(sk, f"{name}_score")(y, best, **average, **options)
    if name == "balanced_accuracy":
        return sk.balanced_accuracy_score(y, best, sample_weight=w)
    if name == "matthews":
        return sk.matthews_corrcoef(y, best, sample_weight=w)
    if name == "log_loss":
        return sk.log_loss(y, p.astype("float32"), sample_weight=w, labels=range(classes))
    if name == "auc":
        return per_column(auc, rows[:, one], p[:, one], heavy[:, one], one_sided)
    assert name == "average_precision"
    return per_column(precision_area, rows[:, one], p[:, one], heavy[:, one])


def of_labels(name, y, p, w, threshold):
    known, yes = w > 0, (p >= threshold).astype(int)
    if not known.any():
        return 0.0
    if name == "accuracy":
        return sk.accuracy_score(y[known], yes[known], sample_weight=w[known])
    if name == "log_loss":
        clipped = np.clip(p[known], EPSILON, 1 - EPSILON)
        return np.average(-np.log(np.where(y[known] == 1, clipped, 1 - clipped)), weights=w[known])
    if name == "exact_match":
        right = np.where(known, y == yes, True).all(1)
        return np.average(right, weights=w.max(1))
    if name == "auc":
        return per_column(auc, y, p, w, one_sided)
    if name == "average_precision":
        return per_column(precision_area, y, p, w)
    score = getattr(sk, f"{name}_score")
    return per_column(lambda t, q, v: score(t, q, sample_weight=v, zero_division=0), y, yes, w)


def of_numbers(name, y, p, w):
    known = w > 0
    if not known.any():
        return 0.0
    if name == "r2":
        values = [
            sk.r2_score(np.repeat(y[k, c], 2), np.repeat(p[k, c], 2), sample_weight=np.repeat(w[k, c], 2))
            for c in range(y.shape[1])
            if (k := known[:, c]).any()  # Twice each, since scikit-learn gives none for a single label.
        ]
        return np.mean(values)
    y, p, w = y[known], p[known], w[known]
    functions = {
        "mae": sk.mean_absolute_error,
        "mse": sk.mean_squared_error,
        "rmse": sk.root_mean_squared_error,
        "mape": sk.mean_absolute_percentage_error,
    }
    value = functions[name](y, p, sample_weight=w)
    return value * 100 if name == "mape" else value


def of_ranks(name, y, p, w):
    known = w > 0
    y, p, w = y[known], p[known], w[known]
    if not len(y):
        return 0.0
    rank = (1 - np.cumsum(p, -1)[:, :-1] > 0.5).sum(-1)
    if name == "accuracy":
        return sk.accuracy_score(y, rank, sample_weight=w)
    if name == "mae":
        return sk.mean_absolute_error(y, rank, sample_weight=w)
    if name == "balanced_accuracy":
        return sk.balanced_accuracy_score(y, rank, sample_weight=w)
    assert name == "kappa"
    if len(np.unique(np.concatenate([y, rank]))) < 2:
        return 0.0
    return sk.cohen_kappa_score(y, rank, weights="quadratic", sample_weight=w, labels=range(p.shape[-1]))


def expected(task, name, y, p, sample_weight):
    w = ~np.isnan(y) if y.dtype.kind == "f" else y >= 0
    w = w * (sample_weight[:, None] if y.ndim == 2 else sample_weight)
    y = np.where(w > 0, y, 0)
    if task in ("two", "seven"):
        return of_classes(name, y, p, w)
    if task in ("labels", "label"):
        return of_labels(name, y, p, w, HEADS[task].threshold)
    if task == "grade":
        return of_ranks(name, y, p, w)
    if task == "tags":
        assert name == "accuracy"
        return np.average(y == p.argmax(-1), weights=w) if w.any() else 0.0
    return of_numbers(name, y.astype("float64"), p.astype("float64"), w)


@pytest.fixture(scope="module")
def objectives():
    layers = {task: head.output_layer(task) for task, head in HEADS.items()}
    for task, layer in layers.items():
        layer.build((None, HEADS[task].units))
    return {task: TaskObjective(task, layer) for task, layer in layers.items()}


def updater(kept, task):
    """Returns what updates metrics with a batch: on JAX one compiled function without state."""

    def update(y, p, w):
        kept.update_state({task: y}, {task: p}, {task: w})

    if keras.backend.backend() != "jax":
        return update
    import jax

    compiled = jax.jit(
        lambda variables, y, p, w: kept.stateless_update_state(variables, {task: y}, {task: p}, {task: w})
    )

    def update_from_state(y, p, w):
        for variable, value in zip(
            kept.variables, compiled([v.value for v in kept.variables], y, p, w), strict=True
        ):
            variable.assign(value)

    return update_from_state


def names_of(head):
    return ("accuracy",) if isinstance(head, Tagging) else head.metric_names


@pytest.mark.parametrize("task", HEADS)
def test_every_name_equals_scikit_learn(task, objectives):
    head = HEADS[task]
    metrics = {task: MetricsOfTasks().resolve(objectives[task].view, list(names_of(head)))}
    kept = TaskMetrics({task: objectives[task]}, metrics)
    update = updater(kept, task)
    assert not any(float(v) for v in kept.result().values())  # 0 before the first label.
    ways = [(pattern, "every other", True) for pattern in PATTERNS]
    ways += [(pattern, "halves", False) for pattern in PATTERNS[:3]]
    for i, (pattern, split, weighted) in enumerate(ways):
        rng = np.random.default_rng(i)
        y, p = pattern(*example(task, i), rng)
        sample_weight = rng.integers(0, 4, ROWS) / 2 if weighted else np.ones(ROWS)
        kept.reset_state()
        for part in SPLITS[split]:
            update(y[part], p[part].astype("float32"), sample_weight[part].astype("float32"))
        found = {name: float(value) for name, value in kept.result().items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of scikit-learn, about what a label or a class lacks.
            for name in names_of(head):
                np.testing.assert_allclose(
                    found[f"{task}_{name}"],
                    expected(task, name, y, p, sample_weight),
                    rtol=2e-5,
                    atol=2e-6,
                    err_msg=f"{name}, {pattern.__name__}, {split}, {'weighted' if weighted else 'plain'}",
                )


@pytest.mark.parametrize(
    "task",
    ["two", "number", *(pytest.param(t, marks=pytest.mark.slow_on_jax) for t in ("labels", "grade", "tags"))],
)
def test_states_are_float32_under_any_floatx_and_count_past_2048(task):
    head = HEADS[task]
    y, p = (a[:12] for a in outputs_right(*example(task, 0), None))
    if task in ("two", "grade"):
        y[:] = np.arange(12) % head.num_classes  # Each class occurs.
        p = np.eye(p.shape[-1])[y]
    weights = np.full(y.shape, 301.0, "float32")
    before = keras.config.floatx()
    try:
        keras.config.set_floatx("float16")
        for name in names_of(head):
            metric = head.metric(name)
            assert {v.dtype for v in metric.variables} == {"float32"}, name
            # Squares of labels of 50 leave float16; TensorFlow's top k takes float32 only.
            wide = task == "number" or name == "top_5_accuracy"
            shown = p.argmax(-1) if task == "tags" else p.astype("float32" if wide else "float16")
            metric.update_state(y, shown, sample_weight=weights)
            wanted = 0.0 if name in ("mae", "mse", "rmse", "mape", "log_loss") else 1.0
            np.testing.assert_allclose(float(metric.result()), wanted, atol=1e-6, err_msg=name)
    finally:
        keras.config.set_floatx(before)


def test_names_have_directions_and_metrics_travel():
    for head in HEADS.values():
        for name in names_of(head):
            metric = head.metric(name)
            lower = name in ("mae", "mse", "rmse", "mape", "log_loss")
            assert metric._direction == ("down" if lower else "up"), name
            again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
            assert again.get_config() == metric.get_config() and again.name == name
