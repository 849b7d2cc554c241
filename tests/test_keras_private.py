"""What Keras and TensorFlow keep private: each test says by its name what a new version has changed."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest

from mtlkeras import _keras_private as private

PACKAGE = Path(private.__file__).parent
TENSORFLOW = pytest.mark.tensorflow
# Names that belong to `_keras_private.py`; what else begins with an underscore is the library's own.
NAMES = {
    "_all_reduce_sum_gradients", "_apply_weight_decay", "_clip_gradients", "_cross_device_ops",
    "_distribute_strategy",
    "_distribution_strategy", "_flatten_layers", "_fn", "_fn_kwargs", "_functional", "_inbound_nodes",
    "_inputs", "_keras_history", "_layers", "_losses_override", "_nodes_by_depth", "_standardize_inputs",
    "_symbolic_build", "_tracker", "_value_specs", "_var_key",
}  # fmt: skip


def two_layers():
    inputs = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="end")(hidden))


def test_no_other_module_touches_private_names():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "_keras_private.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.attr if isinstance(node, ast.Attribute) else getattr(node, "value", None)
            if isinstance(text, str) and text in NAMES:
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {text}")
            if isinstance(node, ast.ImportFrom) and "keras.src" in (node.module or ""):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {node.module}")
    assert not found


def test_compile_metrics_is_what_a_compiled_model_keeps():
    model = two_layers()
    model.compile("sgd", "mse", metrics=["mae"])
    assert type(model._compile_metrics) is private.CompileMetrics
    for name in ("build", "update_state", "reset_state", "result", "metrics", "variables"):
        assert hasattr(private.CompileMetrics, name)


def test_a_symbolic_tensor_knows_the_call_behind_it():
    model = two_layers()
    call = private.call_behind(model.output)
    assert call.operation is model.get_layer("end")
    assert private.call_behind(call.inputs[0]).operation is model.get_layer("hidden")
    ((given,), named) = call.arguments
    assert given is call.inputs[0]
    assert isinstance(named, dict)


def test_a_symbolic_tensor_knows_its_place_among_results():
    parts = keras.ops.split(keras.Input((4,)), 2, axis=-1)
    assert [private.place_among_results(x) for x in parts] == [0, 1]


def test_a_functional_model_has_nodes():
    model = two_layers()
    assert private.has_graph(model)
    assert not private.has_graph(model.get_layer("end"))
    operations = [node.operation for node in private.nodes_of(model)]
    assert {model.get_layer("hidden"), model.get_layer("end")} <= set(operations)
    sequential = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert private.has_graph(private.functional_within(sequential))
    assert private.functional_within(model) is model


def test_a_graph_runs_node_by_node():
    model = two_layers()
    nodes = private.ordered_nodes(model)
    assert [node.operation.name for node in nodes] == ["hidden", "end"]
    x = np.ones((2, 3), "float32")
    (x,) = private.ready_inputs(model, x, None)
    found = {id(model.inputs[0]): x}
    for node in nodes:
        assert private.filled(node, found)[0][0] is found[id(node.input_tensors[0])]
        (found[id(node.outputs[0])],) = private.run_node(node, found, training=True)
    np.testing.assert_allclose(found[id(model.outputs[0])], model(x), rtol=1e-6)


def test_tensors_carry_masks():
    x, mask = keras.ops.ones((2, 3)), keras.ops.ones((2, 3), "bool")
    assert private.mask_of(x) is None
    private.set_mask(x, mask)
    assert private.mask_of(x) is mask
    (ready,) = private.ready_inputs(two_layers(), keras.ops.zeros((2, 3)), mask)
    assert private.mask_of(ready) is mask


class Asking(keras.layers.Layer):
    """Whether dropout within it drops, though it takes no `training` itself."""

    def build(self, shape):
        self.inner = keras.layers.Dropout(0.9, seed=1)

    def call(self, x):
        return self.inner(x)


def test_a_call_in_training_reaches_layers_within_layers():
    layer, x = Asking(), np.ones((4, 8), "float32")
    np.testing.assert_array_equal(layer(x), x)
    with private.training_call():
        dropped = keras.ops.convert_to_numpy(layer(x))
    assert (dropped == 0).any()
    np.testing.assert_array_equal(layer(x), x)


def test_a_value_is_had_in_its_own_dtype():
    dense = keras.layers.Dense(2, dtype="mixed_float16")
    seen = []

    class Reader(keras.layers.Layer):
        def call(self, x):
            seen.append(private.uncast_value(dense.kernel).dtype)
            return x

    dense.build((None, 3))
    Reader(dtype="mixed_float16")(np.ones((1, 3), "float32"))
    assert keras.backend.standardize_dtype(seen[0]) == "float32"


def test_layers_within_layers_are_found():
    inner = two_layers()
    inputs = keras.Input((3,))
    outer = keras.Model(inputs, inner(inputs))
    assert inner.get_layer("hidden") in private.all_layers(outer)
    assert outer in private.all_layers(outer)
    assert outer not in private.all_layers(outer, include_self=False)


def test_a_layer_is_kept_as_an_attribute_and_forgotten():
    model = two_layers()
    private.keep_layer(model, "extra", None)
    count = len(model.weights)
    for _ in range(2):
        layer = keras.layers.Dense(1)
        layer.build((None, 2))
        private.keep_layer(model, "extra", layer)
        assert model.extra is layer
        assert len(model.trainable_weights) == len(model.weights) == count + 2
        assert [one for one in private.all_layers(model) if one is layer] == [layer]
        private.forget_layer(model, layer)
        assert len(model.weights) == count


def test_metrics_and_losses_say_what_they_are_made_of():
    assert private.direction_of(keras.metrics.BinaryAccuracy()) == "up"
    assert private.direction_of(keras.metrics.MeanSquaredError()) == "down"
    assert private.direction_of(keras.metrics.Sum()) is None
    assert private.function_of(keras.metrics.MeanAbsoluteError()) is keras.losses.mean_absolute_error
    assert private.function_of(keras.metrics.AUC()) is None
    assert private.arguments_of(keras.losses.CategoricalCrossentropy(from_logits=True))["from_logits"] is True


def test_a_stateless_call_brings_its_losses():
    model = two_layers()
    found = [keras.ops.convert_to_tensor(3.0)]
    private.use_losses(model, found)
    assert [float(loss) for loss in model.losses] == [3.0]
    private.use_losses(model, [])
    assert model.losses == []


def test_a_container_is_a_node_of_the_tree():
    @private.tree_node
    class Pair(dict):
        def tree_flatten(self):
            return list(self.values()), list(self), list(self)

        @classmethod
        def tree_unflatten(cls, names, values):
            return dict(zip(names, values, strict=True))

    assert keras.tree.map_structure(lambda x: x + 1, Pair(a=1, b=2)) == {"a": 2, "b": 3}


def test_a_loss_with_or_without_training_is_computed():
    class Without(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return y - y_pred

    class With(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return (y - y_pred) * training

    assert private.loss_of(Without(), None, 3, 1, None, training=True) == 2
    assert private.loss_of(With(), None, 3, 1, None, training=False) == 0


def test_a_variable_with_a_value_is_not_empty():
    variable = keras.Variable(np.ones(2, "float32"))
    assert not private.is_empty(variable)
    if keras.backend.backend() == "jax":
        variable._value = None  # As the trainer does.
        assert private.is_empty(variable)


@TENSORFLOW
def test_models_and_optimizers_know_their_strategy():
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    assert private.strategy_of(two_layers()) is None
    with strategy.scope():
        model = two_layers()
        model.compile("sgd", "mse")
    assert private.strategy_of(model) is strategy
    assert private.optimizer_strategy(model.optimizer) is strategy
    assert not private.reduces_on_one_device(strategy)
    reduction = tf.distribute.ReductionToOneDevice()
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)
    assert private.reduces_on_one_device(mirrored)


@TENSORFLOW
def test_a_symbolic_batch_builds_a_model():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
    private.build_with(model, (keras.KerasTensor((4, 3)), keras.KerasTensor((4, 2))))
    assert model.built
    assert len(model.metrics_variables) > 2
    assert callable(keras.Model._maybe_symbolic_build)


@TENSORFLOW
def test_an_optimizer_adds_up_before_it_clips():
    import tensorflow as tf

    optimizer = keras.optimizers.SGD(1.0, clipvalue=0.5)
    private.clip_after_sum(optimizer)
    private.clip_after_sum(optimizer)
    variable = keras.Variable([0.0])
    optimizer.apply_gradients([(tf.constant([3.0]), variable)])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), [-0.5])


@TENSORFLOW
def test_a_data_set_knows_what_it_was_made_of():
    import tensorflow as tf

    source = tf.data.Dataset.range(4)
    assert private.parents_of(source.batch(2)) == [source]
    assert private.parents_of([1, 2]) == []
    spec = tf.TensorSpec((2,))
    assert private.spec_of_one_replica(spec) is spec
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    parts = strategy.experimental_distribute_dataset(source.batch(2)).element_spec
    assert private.spec_of_one_replica(parts).dtype == tf.int64


def test_an_optimizer_decays_in_a_method_of_its_own_and_knows_variables_by_a_key():
    variables = [keras.Variable(np.ones(2, "float32"), name=name) for name in ("one", "two")]
    optimizer = keras.optimizers.SGD(0.5, weight_decay=0.5)
    optimizer.build(variables)
    keys = [private.variable_key(optimizer, variable) for variable in variables]
    assert keys[0] != keys[1]
    private.decay_in_groups(optimizer, {keys[0]: 0.5})
    optimizer.apply([keras.ops.zeros(2)] * 2, variables)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variables[0]), 1 - 0.5 * 0.5 * 0.5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variables[1]), 1 - 0.5 * 0.5)
    assert optimizer.weight_decay == 0.5
