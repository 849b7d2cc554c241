"""The step by gradients against sums of single tasks' gradients, at both levels."""

import functools

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.balancers import MGDA, CAGrad, FairGrad, GradNorm, NashMTL, PCGrad, UPGrad
from mtlkeras.features import Features
from mtlkeras.heads import Classification, Regression
from mtlkeras.sharing import HardSharing
from mtlkeras.specs import spec
from mtlkeras.trunks.base import Trunk
from tests.support import EAGERLY, all_heads, examples, tiny_model

# What they compute is the same in graphs, where most of their time would go into tracing.
pytestmark = pytest.mark.eager

LEVELS = ("representation", "parameters")
# For what both levels have from the optimizer or from the matrix.
ANY_LEVEL = (pytest.param("representation", marks=pytest.mark.slow_on_jax), "parameters")
COUNT = 6


def one_layer_model(heads=None, optimizer=None, **compile_args):
    """A linear trunk; on the identity as inputs its weights are the representation."""
    inputs = keras.Input((COUNT,), name="x")
    body = keras.Model(inputs, keras.layers.Dense(4, use_bias=False, name="shared")(inputs))
    model = mtlkeras.build_model(keras.Input((COUNT,), name="x"), body, heads or all_heads())
    # Op by op, since a single step is to be seen: tracing would take most of the time.
    compile_args.setdefault("run_eagerly", EAGERLY)
    model.compile(optimizer or keras.optimizers.SGD(1.0), **compile_args)
    return model


def labels(missing=0.0):
    return examples(COUNT, missing=missing, seed=4)[1]


def step(start, y, heads=None, **compile_args):
    """Returns the changes of the trunk's weights and the heads', and the logs, of one step."""
    model = one_layer_model(heads, **compile_args)
    layers = [model.trunk, *(model.get_layer(f"{task}_logits") for task in model.heads)]
    for layer, values in zip(layers, start, strict=True):
        layer.set_weights(values)
    logs = model.fit(np.eye(COUNT, dtype="float32"), y, batch_size=COUNT, verbose=0).history
    changes = [
        [new - old for new, old in zip(layer.get_weights(), values, strict=True)]
        for layer, values in zip(layers, start, strict=True)
    ]
    return changes, {name: value[0] for name, value in logs.items()}, model


def starting_weights():
    keras.utils.set_random_seed(0)
    model = one_layer_model()
    layers = [model.trunk, *(model.get_layer(f"{task}_logits") for task in model.heads)]
    return [layer.get_weights() for layer in layers]


def task_changes(start, y, weights=None):
    """The change of the trunk that each task alone makes."""
    found = []
    for task in all_heads():
        alone = {t: (weights or {}).get(t, 1.0) * (t == task) for t in all_heads()}
        found.append(step(start, y, loss_weights=alone)[0][0][0].ravel())
    return np.stack(found)


@functools.cache
def problem(missing=0.0, unlabelled=None, weights=()):
    """A start, labels and each task's own change of the trunk: once for all tests that ask for the same."""
    start, y = starting_weights(), labels(missing)
    y.pop(unlabelled, None)
    return start, y, task_changes(start, y, dict(weights))


@functools.cache
def plain_step(missing=0.0, weights=()):
    """The changes and logs of a step of `problem` without a balancer."""
    start, y, _ = problem(missing, weights=weights)
    return step(start, y, loss_weights=dict(weights))[:2]


@pytest.mark.parametrize("at", LEVELS)
@pytest.mark.parametrize(
    "balancer",
    [
        pytest.param(MGDA, marks=pytest.mark.slow_on_jax),
        CAGrad,
        *(pytest.param(b, marks=pytest.mark.slow) for b in (NashMTL, UPGrad, FairGrad)),
    ],
)
def test_step_is_the_weighted_sum_of_the_task_gradients(balancer, at):
    weights = (("kind", 2.0), ("size", 0.1))
    start, y, alone = problem(missing=0.3, weights=weights)
    changes, logs, model = step(start, y, balancer=balancer(at=at), loss_weights=dict(weights))
    logged = np.array([logs[f"{task}_weight"] for task in model.heads])
    np.testing.assert_allclose(logged, balancer().weights(alone @ alone.T), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(changes[0][0].ravel(), logged @ alone, atol=2e-6)
    plain, _ = plain_step(missing=0.3, weights=weights)
    for mine, theirs in zip(changes[1:], plain[1:], strict=True):  # Heads go by their own gradients.
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("at", ANY_LEVEL)
def test_task_without_labels_has_weight_zero_and_leaves_the_gram_matrix(at):
    start, y, alone = problem(unlabelled="size")
    _, logs, model = step(start, y, balancer=CAGrad(at=at))
    assert logs["size_weight"] == 0.0
    there = [i for i, task in enumerate(model.heads) if task != "size"]
    expected = np.asarray(CAGrad().weights((alone @ alone.T)[np.ix_(there, there)]))
    found = [logs[f"{task}_weight"] for task in model.heads if task != "size"]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("at", ANY_LEVEL)
def test_clipping_sees_the_combined_gradient(at):
    start, y = starting_weights(), labels()
    free = step(start, y, balancer=MGDA(at=at))[0]
    optimizer = keras.optimizers.SGD(1.0, global_clipnorm=0.01)
    clipped = step(start, y, balancer=MGDA(at=at), optimizer=optimizer)[0]
    shares = [
        (np.vdot(a, b) / np.vdot(b, b), a - b * np.vdot(a, b) / np.vdot(b, b))
        for mine, theirs in zip(clipped, free, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    ]
    # All are cut by one factor; the length of the whole is then the limit at most.
    np.testing.assert_allclose([share for share, _ in shares], shares[0][0], rtol=1e-3)
    assert shares[0][0] < 0.1 and max(abs(rest).max() for _, rest in shares) < 1e-6
    assert sum((part**2).sum() for parts in clipped for part in parts) <= 0.01**2 * (1 + 1e-4)


@pytest.mark.parametrize("at", ANY_LEVEL)
def test_loss_scaling_is_undone_before_the_gram_matrix(at):
    start, y = starting_weights(), labels()
    plain = step(start, y, balancer=NashMTL(at=at))
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=4096.0)
    loss_scaled = step(start, y, balancer=NashMTL(at=at), optimizer=scaled)
    for name, value in plain[1].items():
        np.testing.assert_allclose(loss_scaled[1][name], value, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(loss_scaled[0][0][0], plain[0][0][0], atol=1e-6)
    weights = loss_scaled[2].balancing.state["weights"]
    np.testing.assert_allclose(weights, plain[2].balancing.state["weights"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("at", LEVELS)
def test_overflow_leaves_the_state_of_the_balancer(at):
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=64.0)
    model = tiny_model({"a": Regression(), "b": Regression()}, optimizer=optimizer, balancer=GradNorm(at=at))
    before = model.get_weights()
    x = np.full((4, 6, 6, 1), np.inf, "float32")
    model.fit(x, {"a": np.ones(4), "b": np.ones(4)}, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("at", ANY_LEVEL)
def test_weights_are_kept_between_the_steps_that_compute_them(at):
    x, y = examples(40)
    weights = {}
    for every in (1, 3):
        keras.utils.set_random_seed(0)
        model = tiny_model(
            optimizer=keras.optimizers.SGD(0.1), balancer=CAGrad(at=at, every=every), run_eagerly=EAGERLY
        )
        found = []
        record = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, found=found: found.append(
                [logs[f"{task}_weight"] * (batch + 1) for task in all_heads()]
            )
        )
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[record])
        weights[every] = np.diff(np.array(found), axis=0, prepend=0.0)  # The logs are means so far.
    np.testing.assert_allclose(weights[3][0], weights[1][0], rtol=1e-4)
    np.testing.assert_allclose(weights[3][1:3], weights[3][:2], rtol=1e-4)
    np.testing.assert_allclose(weights[3][4], weights[3][3], rtol=1e-4)
    assert abs(weights[3][3] - weights[3][0]).max() > 1e-3


@pytest.mark.slow_on_jax
def test_named_layers_give_the_gram_matrix_and_all_shared_ones_follow():
    x, y = examples(16)
    heads = {"kind": Classification(3), "size": Regression(num_targets=2)}

    def changes(**compile_args):
        """Of each layer of the trunk, as one vector, by a step of the length 1."""
        keras.utils.set_random_seed(0)
        model = mtlkeras.build_model((36,), mtlkeras.trunks.MLP(depth=3, width=4), heads)
        layers = [layer for layer in model.trunk.layers if layer.trainable_variables]
        if "balancer" in compile_args:
            compile_args["balancer"] = compile_args["balancer"].replace(layers=(layers[-1].name,))
        model.compile(keras.optimizers.SGD(1.0), run_eagerly=EAGERLY, **compile_args)
        before = [layer.get_weights() for layer in layers]
        logs = model.fit(x.reshape(16, 36), {task: y[task] for task in heads}, verbose=0).history
        found = [
            np.concatenate(
                [(new - old).ravel() for new, old in zip(layer.get_weights(), values, strict=True)]
            )
            for layer, values in zip(layers, before, strict=True)
        ]
        return found, logs

    alone = [changes(loss_weights={task: float(task == one) for task in heads})[0] for one in heads]
    found, logs = changes(balancer=MGDA(at="parameters"))
    weights = np.array([logs[f"{task}_weight"][0] for task in heads])
    last = np.stack([parts[-1] for parts in alone])
    np.testing.assert_allclose(weights, MGDA().weights(last @ last.T), rtol=2e-3, atol=2e-4)
    for change, *parts in zip(found, *alone, strict=True):
        np.testing.assert_allclose(change, weights @ np.stack(parts), atol=2e-6)


@pytest.mark.parametrize("at", ANY_LEVEL)
def test_part_of_the_batch_that_repeats_gives_the_weights_of_all(at):
    x, y = examples(8)
    x, y = np.concatenate([x, x]), {task: np.concatenate([v, v]) for task, v in y.items()}
    found = []
    for fraction in (1.0, 0.5):
        keras.utils.set_random_seed(0)
        balancer = NashMTL(at=at, gram_fraction=fraction)
        model = tiny_model(optimizer=keras.optimizers.SGD(0.1), balancer=balancer, run_eagerly=EAGERLY)
        logs = model.fit(x, y, batch_size=16, shuffle=False, verbose=0).history
        found.append(np.array([logs[f"{task}_weight"][0] for task in model.heads]))
    # At the representation, half of the rows have half of the squared lengths.
    scale = np.sqrt(2.0) if at == "representation" else 1.0
    np.testing.assert_allclose(found[1] if at == "parameters" else found[1] / scale, found[0], rtol=1e-3)


@spec
class TwoEnds(Trunk):
    """Gives a map and a vector, each from layers of its own."""

    gives = ("vector", "map")

    def __call__(self, inputs):
        shared = keras.layers.Conv2D(3, 1, name="conv")(inputs)
        return Features(
            vector=keras.layers.GlobalAveragePooling2D()(shared), map=shared, taps={"conv": shared}
        )


def test_several_tensors_are_one_representation():
    x, y = examples(12)
    heads = {"kind": Classification(3), "size": Regression(num_targets=2, at="conv")}
    keras.utils.set_random_seed(0)
    model = mtlkeras.build_model((6, 6, 1), TwoEnds(), heads)
    model.compile(keras.optimizers.SGD(0.1), balancer=PCGrad(seed=1), run_eagerly=EAGERLY)
    logs = model.fit(x, {task: y[task] for task in heads}, verbose=0).history
    # Tensors that no two tasks read give orthogonal gradients, which have nothing in conflict.
    both = [layer for layer in model.layers if layer.name == "gradient_fork"][0].keys
    assert len(set(both.values())) == 2
    np.testing.assert_allclose([logs["kind_weight"][0], logs["size_weight"][0]], 1.0, rtol=1e-5)


def test_single_task_has_weight_one_and_is_told():
    x, y = examples(12)
    with pytest.warns(UserWarning, match="single task to balance"):
        model = tiny_model({"kind": Classification(3)}, balancer=MGDA())
    logs = model.fit(x, {"kind": y["kind"]}, verbose=0, epochs=2).history
    assert logs["kind_weight"] == [1.0, 1.0]


@pytest.mark.parametrize("at", ANY_LEVEL)
def test_mixed_precision(at):
    keras.config.set_dtype_policy("mixed_float16")
    x, y = examples(16, missing=0.3)
    model = tiny_model(optimizer="adam", balancer=NashMTL(at=at))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    logs = model.fit(x, y, epochs=3, verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())
    assert abs(logs["kind_weight"][0]) > 0


def one_task_a_row(count=24):
    x, y = examples(count)
    for i, values in enumerate(y.values()):
        values[np.arange(count) % 5 != i] = np.nan if values.dtype.kind == "f" else mtlkeras.MISSING
    return x, y  # Every fifth row has no label at all.


@pytest.mark.tensorflow
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_batches_taken_apart_by_task_train_as_whole_ones(every):
    x, y = one_task_a_row()
    found = {}
    for apart in (False, True):
        keras.utils.set_random_seed(0)
        balancer = CAGrad(at="parameters", one_task_each=apart, every=every)
        model = tiny_model(
            l2=0.01, optimizer=keras.optimizers.SGD(0.1), balancer=balancer, run_eagerly=EAGERLY
        )
        # The last batch, of four rows, has no label of the first task.
        history = model.fit(x, y, batch_size=5, shuffle=False, verbose=0).history
        found[apart] = model.get_weights(), history
    for whole, apart in zip(found[False][0], found[True][0], strict=True):
        np.testing.assert_allclose(apart, whole, atol=2e-6)
    for name, values in found[False][1].items():
        np.testing.assert_allclose(found[True][1][name], values, rtol=1e-4, err_msg=name)


@pytest.mark.tensorflow
def test_taking_apart_refuses_what_it_cannot_do():
    x, y = examples(8)
    with pytest.raises(ValueError, match="needs at='parameters'"):
        CAGrad(one_task_each=True)
    balancer = CAGrad(at="parameters", one_task_each=True)
    with pytest.raises(Exception, match="an example with labels of several tasks"):
        tiny_model(balancer=balancer, run_eagerly=EAGERLY).fit(x, y, verbose=0)
    model = mtlkeras.build_model((6, 6, 1), mtlkeras.trunks.ResNet(depth=8, width=4), all_heads())
    with pytest.raises(ValueError, match="batch normalisation"):
        model.compile(balancer=balancer)


def model_mixed_behind_its_fork(balancer):
    """Both tasks read the sum of both copies: what lies behind the fork is not one task's alone."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((COUNT,), name="x")
    body = keras.Model(inputs, keras.layers.Dense(4, use_bias=False, name="shared")(inputs))
    heads = {"kind": Classification(3), "size": Regression(num_targets=2)}
    inputs = keras.Input((COUNT,), name="x")
    features, _ = HardSharing()(body, inputs, heads)
    mixed = sum(f.vector for f in features.values())
    outputs = {task: head.attach(Features(vector=mixed), task) for task, head in heads.items()}
    model = mtlkeras.MultiTaskModel(inputs, outputs)
    model.compile(keras.optimizers.SGD(1.0), balancer=balancer, run_eagerly=EAGERLY)
    return model


@pytest.mark.tensorflow
def test_tasks_that_meet_behind_the_fork_are_told_apart():
    x, y = np.eye(COUNT, dtype="float32"), {task: labels()[task] for task in ("kind", "size")}
    changes = []
    for weights in ({"kind": 1.0, "size": 0.0}, {"kind": 0.0, "size": 1.0}, None):
        model = model_mixed_behind_its_fork(None if weights else MGDA(at="parameters"))
        if weights:
            model.compile(keras.optimizers.SGD(1.0), loss_weights=weights, run_eagerly=EAGERLY)
        start = model.trunk.get_weights()[0]
        logs = model.fit(x, y, batch_size=COUNT, verbose=0).history
        changes.append((model.trunk.get_weights()[0] - start).ravel())
    assert model.balancing.fork is None
    alone = np.stack(changes[:2])
    found = [logs["kind_weight"][0], logs["size_weight"][0]]
    np.testing.assert_allclose(found, MGDA().weights(alone @ alone.T), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(changes[2], found @ alone, atol=2e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("most", [0, 9])
def test_one_graph_or_many_give_the_same_gradients(most, monkeypatch):
    from mtlkeras._backends.tensorflow import passes as tensorflow_passes

    monkeypatch.setattr(tensorflow_passes, "MOST_UNROLLED", most)
    start, y, alone = problem(missing=0.3)
    changes, logs, model = step(start, y, balancer=CAGrad(at="parameters"), run_eagerly=False)
    assert model.balancing.fork is not None
    logged = np.array([logs[f"{task}_weight"] for task in model.heads])
    np.testing.assert_allclose(logged, CAGrad().weights(alone @ alone.T), rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(changes[0][0].ravel(), logged @ alone, atol=2e-6)


def test_tasks_that_meet_behind_the_fork_are_refused_at_the_representation():
    built = one_layer_model({"kind": Classification(3), "size": Regression()})
    scores = keras.layers.Dense(1, name="more")(built.output["kind"])
    own = built.get_layer("size")
    outputs = {"kind": built.output["kind"], "size": own(keras.layers.Add()([built.output["size"], scores]))}
    model = mtlkeras.MultiTaskModel(built.input, outputs)
    with pytest.raises(ValueError, match="tasks meet elsewhere. Use at='parameters'"):
        model.compile("sgd", balancer=CAGrad())
    y = {task: values for task, values in labels().items() if task in outputs}
    y["size"] = y["size"][:, :1]
    model.compile(keras.optimizers.SGD(0.1), balancer=CAGrad(at="parameters"))
    assert np.isfinite(model.fit(np.eye(COUNT, dtype="float32"), y, verbose=0).history["loss"]).all()


def test_a_loop_of_the_callers_own_is_not_balanced():
    y = {task: values for task, values in labels().items() if task in ("kind", "size")}
    x = np.eye(COUNT, dtype="float32")
    heads = {"kind": Classification(3), "size": Regression(num_targets=2)}
    losses = []
    for balancer in (None, CAGrad(), CAGrad(at="parameters")):
        keras.utils.set_random_seed(0)
        model = one_layer_model(heads, balancer=balancer)
        outputs = model(x, training=True)
        losses.append(float(model.compute_loss(x, y, outputs, training=True)))
    assert losses == [losses[0]] * 3


class CountsItsLosses(mtlkeras.MultiTaskModel):
    """Keeps a variable that its loss changes."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.calls = self.add_weight((), "zeros", trainable=False, name="calls")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training:
            self.calls.assign_add(1.0)
        return super().compute_loss(x, y, y_pred, sample_weight, training)


def test_what_a_loss_of_the_users_changes_is_kept():
    built = one_layer_model({"kind": Classification(3), "size": Regression(num_targets=2)})
    model = CountsItsLosses(built.inputs[0], built.output)
    model.compile("sgd", balancer=CAGrad(), run_eagerly=EAGERLY)
    y = {task: values for task, values in labels().items() if task in model.heads}
    model.fit(np.eye(COUNT, dtype="float32"), y, batch_size=2, verbose=0)
    assert float(keras.ops.convert_to_numpy(model.calls)) == COUNT / 2
