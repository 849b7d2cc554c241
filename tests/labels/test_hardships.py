"""No rows, other float types, and what a model is like after a mistake."""

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras import balancers
from tests.labels import toys
from tests.labels.test_every_type_and_way import Batches
from tests.support import EAGERLY, all_heads, examples, tiny_model

pytestmark = pytest.mark.eager


@pytest.fixture(scope="module")
def made():
    return toys.model(), toys.inputs()


def test_no_rows_are_predicted_as_no_rows(made):
    model, x = made
    outputs = model.predict(x[:0], verbose=0)
    for task, some in model.predict(x, verbose=0).items():
        assert outputs[task].shape == (0, *some.shape[1:]) and outputs[task].dtype == some.dtype
    assert all(len(answers) == 0 for answers in model.predict_labels(x[:0], verbose=0).values())


def test_no_rows_to_learn_from_are_told(made):
    model, x = made
    y = {"kind": np.zeros(0, "int32")}
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="The inputs have no examples"):
            call(x[:0], y, verbose=0)
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="The inputs have no examples"):
            call(x[:0], y)


@pytest.mark.parametrize("y", [{}, {"kind": None}])
def test_labels_of_no_task_are_told(made, y):
    model, x = made
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="No labels: pass y as a dict by task"):
            call(x, y, verbose=0)
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="No labels: pass y as a dict by task"):
            call(x, y)


@pytest.mark.tensorflow
def test_a_data_set_without_a_batch_is_told(made):
    import tensorflow as tf

    model, x = made
    with pytest.warns(UserWarning, match="ran out of data"), pytest.raises(ValueError, match="no batch"):
        model.predict(tf.data.Dataset.from_tensor_slices(x[:0]).batch(2), verbose=0)


def test_labels_of_another_number_of_examples_are_told(made):
    model, x = made
    with pytest.raises(ValueError, match="task 'kind': expected labels for 6 examples.* received 5"):
        model.evaluate(x, {"kind": np.zeros(5, "int32")}, verbose=0)
    with pytest.raises(ValueError, match="different numbers of examples: 'kind' 5, 'pair' 6"):
        model.evaluate(x, {"kind": np.zeros(5, "int32"), "pair": np.zeros(6, "int32")}, verbose=0)


def _skip_where_jax_has_none(floatx):
    if floatx == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has float64 only in programs that ask for it as a whole.")


@pytest.mark.parametrize(
    "floatx", ["float64", *(pytest.param(f, marks=pytest.mark.slow_on_jax) for f in ("bfloat16", "float16"))]
)
def test_any_floatx_trains_and_tells_the_loss(floatx):
    _skip_where_jax_has_none(floatx)
    heads = {task: head for task, head in toys.heads().items() if task not in ("age", "pair", "hmm")}
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    try:
        model = toys.model(heads, run_eagerly=EAGERLY)
        x = toys.inputs()
        y = {task: value for task, value in toys.labels(missing=True).items() if task in heads}
        logs = model.fit(x, y, verbose=0).history
        outputs = model.predict(x, verbose=0)
        assert {value.dtype.name for value in outputs.values()} == {"float32"}
        for task, expected in toys.expected_losses(model, outputs, y).items():
            np.testing.assert_allclose(logs[f"{task}_loss"][0], expected, rtol=1e-3, err_msg=task)
        assert all(isinstance(values[0], float) for values in logs.values())
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("floatx", ["float64", "bfloat16"])
@pytest.mark.parametrize(
    "at", [None, "representation", pytest.param("parameters", marks=pytest.mark.slow_on_jax)]
)
def test_any_floatx_with_a_balancer(floatx, at):
    _skip_where_jax_has_none(floatx)
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)
    try:
        balancer = balancers.DWA() if at is None else balancers.PCGrad(seed=1, at=at)
        model = tiny_model(balancer=balancer, run_eagerly=EAGERLY)
        x, y = examples(8, missing=0.3)
        logs = model.fit(x, y, verbose=0, batch_size=8).history
        assert all(np.isfinite(values).all() for values in logs.values()), logs
    finally:
        keras.config.set_floatx("float32")


def test_counts_do_not_saturate_in_half_precision():
    """A count in float16 ends at 2048."""
    keras.config.set_floatx("float16")
    try:
        model = tiny_model({"kind": all_heads()["kind"]}, run_eagerly=EAGERLY)
        x = np.zeros((5000, 6, 6, 1), "float32")
        answer = int(model.predict(x[:1], verbose=0)["kind"][0].argmax())
        y = np.where(np.arange(5000) % 4 == 0, answer, (answer + 1) % 3)
        logs = model.evaluate(x, {"kind": y}, batch_size=500, verbose=0, return_dict=True)
    finally:
        keras.config.set_floatx("float32")
    name = "kind_accuracy"
    np.testing.assert_allclose(logs[name], 0.25, rtol=1e-5)


def test_numbers_too_large_for_floatx_are_told():
    keras.config.set_floatx("float16")
    try:
        model = toys.model({"age": toys.heads()["age"]})
        with pytest.raises(ValueError, match="task 'age': label .* does not fit into float16"):
            model.evaluate(toys.inputs(), {"age": np.full(6, 1e5)}, verbose=0)
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.eager(False)
def test_the_call_after_an_error_within_a_step_works():
    class Breaks(keras.losses.Loss):
        broken = True

        def call(self, y_true, y_pred):
            if self.broken and y_pred.shape[0] != 1009:
                raise RuntimeError("broken")
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    x, y = examples(8)
    loss = Breaks()
    model = tiny_model({"size": all_heads()["size"]}, loss={"size": loss}, optimizer="adam")
    for call in (
        lambda: model.fit(x, {"size": y["size"]}, verbose=0),
        lambda: model.evaluate(x, {"size": y["size"]}, verbose=0),
        lambda: model.train_on_batch(x, {"size": y["size"]}),
    ):
        Breaks.broken = True
        with pytest.raises(RuntimeError, match="broken"):
            call()
        Breaks.broken = False
        call()


def test_one_data_set_serves_several_models_and_calls():
    x = toys.inputs()
    data = Batches(x, {"kind": toys.labels()["kind"].astype("int32")})
    heads = {"kind": toys.heads()["kind"]}
    one, two = toys.model(heads, run_eagerly=EAGERLY), toys.model(heads, run_eagerly=EAGERLY)
    two.set_weights(one.get_weights())
    found = [m.evaluate(data, verbose=0) for m in (one, two, one)]
    assert found[0] == found[1] == found[2]


@pytest.mark.eager(False)
def test_lengths_that_only_the_step_knows_are_compared_there():
    heads = {task: toys.heads()[task] for task in ("tags", "kind")}
    model = mtlkeras.build_model((None, toys.WIDTH), toys.StepTrunk(), heads)
    model.compile(keras.optimizers.SGD(0.0))
    for length in (3, 4):  # The second one makes TensorFlow forget the length.
        model.test_on_batch(np.zeros((2, length, toys.WIDTH)), {"tags": np.zeros((2, length), "int32")})
    x = np.zeros((2, 5, toys.WIDTH))
    with pytest.raises(ValueError, match="Labels of task 'tags': .*steps.* outputs"):
        model.test_on_batch(x, {"tags": np.zeros((2, 6), "int32")})
    model.test_on_batch(x, {"tags": np.zeros((2, 5), "int32")})
