"""What Keras and TensorFlow keep private and the library needs, one small function each.

Nothing else touches these names. `tests/test_keras_private.py` says of each what broke when a new version
changes it. Three more are met by overriding them: `Trainer._maybe_symbolic_build` in the TensorFlow
trainer, `Model._compile_metrics` in `MultiTaskModel`, and `Metric._direction`, the word by which Keras'
callbacks know whether a metric is to rise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
from keras.src.backend.common.global_state import get_global_attribute, set_global_attribute
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask
from keras.src.backend.common.variables import AutocastScope
from keras.src.layers.layer import CallContext

# What hands `training` to the operations of a functional model.
from keras.src.models.functional import operation_fn

# The slot from which every backend's trainer builds, updates and resets metrics, and in which stock
# callbacks look for a metric's direction. Keras offers no public way to fill it with metrics that are named
# per task.
from keras.src.trainers.compile_utils import CompileMetrics as CompileMetrics
from keras.src.tree import register_tree_node_class


class Call(NamedTuple):
    """An operation where a functional model applies it: the operation, and the number of the application."""

    operation: Any
    number: int

    @property
    def inputs(self) -> list[Any]:
        """The symbolic tensors that it was applied to."""
        return self.operation._inbound_nodes[self.number].input_tensors

    @property
    def arguments(self) -> tuple[tuple, dict[str, Any]]:
        """What it was called with, by place and by name."""
        found = self.operation._inbound_nodes[self.number].arguments
        return found.args, found.kwargs


def call_behind(tensor: Any) -> Call:
    """Returns the call that a symbolic tensor is a result of."""
    operation, number, _ = tensor._keras_history
    return Call(operation, number)


def place_among_results(tensor: Any) -> int:
    """Returns the place of a symbolic tensor among the results of the call behind it, flat."""
    return tensor._keras_history[2]


def nodes_of(model: Any) -> Iterator[Any]:
    """Yields the nodes of a functional model's graph, each with `operation`, `input_tensors`, `outputs`."""
    for nodes in getattr(model, "_nodes_by_depth", {}).values():
        yield from nodes


def ordered_nodes(model: Any) -> list[Any]:
    """Returns the nodes of a functional model's graph, inputs left out, in an order in which they can run."""
    depths = model._nodes_by_depth
    return [node for depth in sorted(depths, reverse=True) for node in depths[depth] if not node.is_input]


def filled(node: Any, values: Mapping[int, Any]) -> tuple[tuple, dict[str, Any]]:
    """Returns the arguments of a node's operation, by place and by name, with values for symbolic tensors.

    Args:
        node: The node.
        values: By id, what stands for the symbolic tensors that the operation was applied to.
    """
    return node.arguments.fill_in(values)


def run_node(node: Any, values: dict[int, Any], training: bool | None = None) -> list[Any]:
    """Applies the operation of a node as its model does.

    Args:
        node: The node.
        values: By id, what stands for the symbolic tensors that the operation was applied to.
        training: Handed to layers that ask for it.
    """
    args, kwargs = filled(node, values)
    return keras.tree.flatten(operation_fn(node.operation, training=training)(*args, **kwargs))


def ready_inputs(model: Any, inputs: Any, mask: Any) -> list[Any]:
    """Returns the inputs of a functional model's call as its graph takes them: flat, with their masks."""
    flat = model._standardize_inputs(inputs)
    for x, of_x in zip(flat, [] if mask is None else keras.tree.flatten(mask), strict=False):
        if of_x is not None:
            set_mask(x, of_x)
    return flat


def mask_of(tensor: Any) -> Any:
    """Returns the mask that a tensor carries, or `None`."""
    return get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Gives a tensor a mask to carry."""
    set_keras_mask(tensor, mask)


def uncast_value(variable: Any) -> Any:
    """Returns a variable's value as a tensor of its own dtype, also within a layer of half precision."""
    with AutocastScope(None):
        return keras.ops.copy(variable.value)  # What TensorFlow converts may still be the variable itself.


@contextlib.contextmanager
def training_call() -> Iterator[None]:
    """Has layers run as within the call of a model in training, by whomever they are called."""
    outer = get_global_attribute("current_call_ctx")
    context = CallContext(entry_layer=None)
    context.set_value("training", True)
    set_global_attribute("current_call_ctx", context)
    try:
        with AutocastScope(None):
            yield
    finally:
        set_global_attribute("current_call_ctx", outer)


def has_graph(operation: Any) -> bool:
    """Returns whether an operation is a model with a graph of its own."""
    return hasattr(operation, "_nodes_by_depth")


def functional_within(operation: Any) -> Any:
    """Returns the functional model in which a `Sequential` keeps its graph; else the operation itself."""
    return getattr(operation, "_functional", None) or operation


def all_layers(model: Any, include_self: bool = True) -> list[Any]:
    """Returns the layers of a model, those within layers too."""
    return list(model._flatten_layers(include_self=include_self))


def keep_layer(model: Any, name: str, layer: Any) -> None:
    """Makes a layer, or `None`, an attribute of a functional model, with its weights among the model's."""
    setattr(model, name, layer)
    if layer is not None and not _is_tracked(model, layer):  # Before 3.15 those of its graph alone were.
        object.__setattr__(model, "_layers", [*model._layers, layer])


def forget_layer(model: Any, layer: Any) -> None:
    """Takes a layer that was an attribute of a model out of what the model tracks."""
    model._tracker.untrack(layer)
    if _is_tracked(model, layer):
        object.__setattr__(model, "_layers", [one for one in model._layers if one is not layer])


def _is_tracked(model: Any, layer: Any) -> bool:
    return any(one is layer for one in model._layers)


def direction_of(metric: Any) -> str | None:
    """Returns `"up"` or `"down"` as a metric is to go; `None` where it does not say."""
    return getattr(metric, "_direction", None)


def function_of(metric: Any) -> Any:
    """Returns the function that a metric takes the mean of, or `None`."""
    return getattr(metric, "_fn", None)


def arguments_of(loss: Any) -> dict[str, Any]:
    """Returns what a loss passes to its function beside labels and outputs."""
    return getattr(loss, "_fn_kwargs", {})


def strategy_of(model: Any) -> Any:
    """Returns the `tf.distribute` strategy that a model was made under, or `None`."""
    return getattr(model, "_distribute_strategy", None)


def optimizer_strategy(optimizer: Any) -> Any:
    """Returns the `tf.distribute` strategy that an optimizer was made under."""
    return optimizer._distribution_strategy


def build_with(model: Any, data_batch: Any) -> None:
    """Makes a model's and its metrics' variables from a symbolic batch."""
    model._symbolic_build(data_batch=data_batch)


def clip_after_sum(optimizer: Any) -> None:
    """Makes an optimizer add up the replicas' gradients before it clips them; a second time does nothing."""
    if "_clip_gradients" in vars(optimizer):
        return
    clip, add_up = optimizer._clip_gradients, optimizer._all_reduce_sum_gradients

    def sum_and_clip(gradients: list[Any]) -> list[Any]:
        return clip([gradient for gradient, _ in add_up([(g, None) for g in gradients])])

    optimizer._clip_gradients = sum_and_clip
    optimizer._all_reduce_sum_gradients = list  # Not a second time.


def variable_key(optimizer: Any, variable: Any) -> Any:
    """Returns by what an optimizer knows a variable, or a replica's part of it on TensorFlow."""
    return optimizer._var_key(variable)


def decay_in_groups(optimizer: Any, rates: Mapping[Any, float]) -> None:
    """Makes an optimizer multiply the decoupled decay of variables by rates, by `variable_key`; else by 1."""
    # Here and not at each call: replicas take turns in one, in which another may have set it.
    decay, whole = optimizer._apply_weight_decay, optimizer.weight_decay
    if whole is None:
        return

    def by_rate(variables: list[Any]) -> None:
        groups: dict[float, list[Any]] = {}
        for variable in variables:
            groups.setdefault(rates.get(variable_key(optimizer, variable), 1.0), []).append(variable)
        try:
            for factor, group in groups.items():
                optimizer.weight_decay = whole * factor
                decay(group)
        finally:
            optimizer.weight_decay = whole

    optimizer._apply_weight_decay = by_rate


def use_losses(model: Any, losses: list[Any]) -> None:
    """Has a model's `losses` be those of a stateless call, until they are none."""
    model._losses_override.clear()
    if losses:
        model._losses_override = losses


def tree_node(cls: type) -> type:
    """Class decorator: lets `keras.tree` go into a container, by its `tree_flatten` and `tree_unflatten`."""
    return register_tree_node_class(cls)


def loss_of(model: Any, *batch: Any, training: bool) -> Any:
    """Returns `compute_loss` of a batch `(x, y, y_pred, sample_weight)`, also of one without `training`."""
    return model._compute_loss(*batch, training=training)


def is_empty(variable: Any) -> bool:
    """Returns whether the JAX trainer has taken a variable's value away."""
    return variable._value is None


def reduces_on_one_device(strategy: Any) -> bool:
    """Returns whether a mirrored strategy adds up gradients on one device."""
    import tensorflow as tf

    found = getattr(strategy.extended, "_cross_device_ops", None)
    return isinstance(found, tf.distribute.ReductionToOneDevice)


def spec_of_one_replica(spec: Any) -> Any:
    """Returns the spec of a replica's part of a data set that the caller distributed; of others theirs."""
    return getattr(spec, "_value_specs", [spec])[0]


def parents_of(dataset: Any) -> list[Any]:
    """Returns the data sets that one made by `map`, `batch` and the like was made of."""
    return list(dataset._inputs()) if hasattr(dataset, "_inputs") else []
