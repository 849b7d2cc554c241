"""Kernels of low rank as products of two."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import frozen, whole_number
from mtlkeras._keras_private import functional_within, has_graph
from mtlkeras._model.model import MultiTaskModel
from mtlkeras.compress._checks import check_model, check_weights, names_of, shown
from mtlkeras.compress._factors import Factors, factors_of
from mtlkeras.compress._named import named_layers
from mtlkeras.compress._rebuild import rebuilt
from mtlkeras.compress._recurrent import directions, with_ranks
from mtlkeras.compress._recurrent import refusal as recurrent_refusal
from mtlkeras.sharing._tied import Tied

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
INPUT, RECURRENT_KERNEL = "kernel", "recurrent_kernel"
KERNELS = (INPUT, RECURRENT_KERNEL)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What becomes of the kernels of a layer.

    Args:
        read: The factors of what reads the inputs, for both directions in one, if it changes.
        recurrent: The factors of the recurrent kernels, by direction, if they change.
    """

    read: Factors | None
    recurrent: tuple[Factors, ...] = ()

    def __bool__(self) -> bool:
        return self.read is not None or bool(self.recurrent)


def factorize(
    model: MultiTaskModel,
    rank: int | None = None,
    *,
    energy: float | None = None,
    layers: Sequence[str] | None = None,
    kernels: Sequence[str] = (INPUT,),
) -> MultiTaskModel:
    """Returns a model whose large kernels are products of two small ones.

    The singular value decomposition of a kernel gives the nearest one of a rank (Eckart and Young 1936). A
    dense layer becomes one without bias and activation, `<name>_low`, and one of its own name behind it
    (Xue et al. 2013, Restructuring of Deep Neural Network Acoustic Models with Singular Value
    Decomposition); a convolution one with fewer filters and a 1x1 convolution of its name (Zhang et al. 2016,
    Accelerating Very Deep Convolutional Networks, section 3.1); a recurrent layer, or one of both directions,
    reads its inputs through such a dense layer. The recurrent kernel of an LSTM or a GRU becomes a product
    within a cell, `mtlkeras.layers.LowRankLSTMCell` or `LowRankGRUCell` in a `keras.layers.RNN` of the same
    name (Prabhavalkar et al. 2016, On the Compression of Recurrent Neural Networks, section 3), which runs
    without cuDNN. Where a kernel has the rank, the outputs are the same. Names, heads, saving and export
    stay; the model is compiled as the other is, its optimizer begun anew.

    Args:
        model: The model, which stays as it is.
        rank: The rank of all these kernels.
        energy: Without a rank, the share of the sum of the squared singular values that each kernel keeps at
            least, in (0, 1]; 0.9 if neither is given.
        layers: Names of the layers; by default all of the trunk that then have fewer weights.
        kernels: Which kernels: `"kernel"`, what reads the inputs of a layer, `"recurrent_kernel"`, what reads
            the states of a recurrent one, or both.

    Raises:
        ValueError: If a named layer cannot be factorised or would have no fewer weights, if there is none
            that would, or an argument does not fit.

    Example:

    ```python
    model = mtlkeras.build_model((64,), mtlkeras.trunks.MLP(width=64), {"y": mtlkeras.heads.Regression()})
    smaller = mtlkeras.compress.factorize(model, rank=8)
    [layer.name for layer in smaller.trunk.layers if layer.weights]
    # ['hidden_1_low', 'hidden_1', 'hidden_2_low', 'hidden_2']
    ```
    """
    check_model(model, "factorize")
    if rank is not None and energy is not None:
        raise ValueError("factorize: give rank= or energy=; received both.")
    energy = 0.9 if energy is None else frozen(energy)
    if not isinstance(energy, (int, float)) or energy is True or not 0 < energy <= 1:
        raise ValueError(f"factorize: energy must be above 0, up to 1; received {energy!r}.")
    if rank is not None:
        whole_number("factorize", "rank", rank)
    kernels = _known(kernels)
    chosen = _chosen(model, layers, kernels)
    check_weights([(layer.name, layer) for layer in chosen], "factorize")
    plans = {id(layer): _plan(layer, kernels, rank, float(energy)) for layer in chosen}
    _check_tied(model, rank)
    for layer in chosen:
        if layers is not None and not plans[id(layer)]:
            raise ValueError(
                f"factorize: layer '{layer.name}' would have no fewer weights; ask for a lower rank."
            )
    plans = {key: plan for key, plan in plans.items() if plan}
    if not plans:
        raise ValueError("factorize: no layer would have fewer weights; ask for a lower rank or energy.")
    return _with_factors(model, plans)


def _known(kernels: Any) -> tuple[str, ...]:
    kernels = names_of(kernels, "kernels", "factorize", single=True)
    for name in kernels:
        if name not in KERNELS:
            raise unknown_name("kernel", name, KERNELS, "kernels= of factorize")
    if not kernels:
        raise ValueError(f"factorize: kernels= names none; expected some of {', '.join(KERNELS)}.")
    return kernels


def _check_tied(model: Any, rank: int | None) -> None:
    if rank is None and any(isinstance(layer, Tied) for layer in model.layers):
        raise ValueError(
            "factorize: SoftSharing compares the trunks weight by weight, so their kernels need one rank: "
            "give rank=."
        )


def _chosen(model: Any, names: Sequence[str] | None, kernels: tuple[str, ...]) -> list[Any]:
    """Returns the layers to factorise.

    Raises:
        ValueError: If a name means none, or one that cannot be.
    """
    heads = {id(layer) for layer in model.layers if not has_graph(functional_within(layer))}
    known = dict(named_layers(model))
    if names is None:
        every = {id(layer): layer for _, layer in named_layers(model) if id(layer) not in heads}
        found = [layer for layer in every.values() if _refusal(layer, kernels) is None]
        if not found:
            raise ValueError(
                f"factorize: no layer of the trunk can be factorised.{_refusals(every, kernels)}"
            )
        return found
    names = names_of(names, "layers", "factorize")
    if not names:
        raise ValueError("factorize: layers= names none; leave it out for all of the trunk.")
    for name in names:
        if name not in known:
            raise unknown_name("layer", name, known, "layers= of factorize")
        refusal = _refusal(known[name], kernels)
        if refusal is not None:
            raise ValueError(f"factorize: layer '{name}' ({type(known[name]).__name__}) {refusal}.")
    return [layer for name, layer in named_layers(model) if name in names]


def _refusal(layer: Any, kernels: tuple[str, ...]) -> str | None:
    """Returns why none of the kernels of a layer that are asked for can be factorised, or `None`."""
    if not directions(layer) and type(layer) not in (keras.layers.Dense, *_CONVOLUTIONS):
        return "cannot be factorised: dense, convolutional and recurrent layers of Keras can"
    if getattr(layer, "groups", 1) > 1:
        return "cannot be factorised: it convolves in groups"
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        return "cannot be factorised: it is quantized or has a low-rank update"
    return None if INPUT in kernels else recurrent_refusal(layer)


def _refusals(layers: dict[int, Any], kernels: tuple[str, ...]) -> str:
    """Returns in words why layers with kernels cannot be factorised, of the first ones."""
    found = [
        f"'{layer.name}' ({type(layer).__name__}) {_refusal(layer, kernels)}"
        for layer in layers.values()
        if any("kernel" in weight.name for weight in getattr(layer, "weights", ()))
    ]
    return f" {shown(found, 'None has a kernel')}."


def _plan(layer: Any, kernels: tuple[str, ...], rank: int | None, energy: float) -> Plan:
    read, recurrent = None, []
    if INPUT in kernels:
        joint = np.concatenate([np.asarray(kernel.numpy()) for kernel in _kernels(layer)], axis=-1)
        read = factors_of(joint, rank, energy)
    if RECURRENT_KERNEL in kernels and recurrent_refusal(layer) is None:
        values = [np.asarray(part.cell.recurrent_kernel.numpy()) for part in directions(layer)]
        recurrent = [factors_of(value, rank, energy) for value in values]
    whole = [found for found in recurrent if found is not None]
    return Plan(read, tuple(whole) if len(whole) == len(recurrent) else ())


def _kernels(layer: Any) -> list[Any]:
    """Returns the kernels that read the inputs of a layer: one for each direction."""
    return [part.cell.kernel for part in directions(layer)] or [layer.kernel]


def _with_factors(model: Any, plans: dict[int, Plan]) -> Any:
    """Returns the model with a layer before each of some, and their kernels as products."""
    added: dict[int, dict[str, list[np.ndarray]]] = {}

    def edit(part: Any, config: dict[str, Any]) -> None:
        inner = functional_within(part)
        names = {operation.name for operation in inner.operations}
        for layer in inner.operations:
            plan = plans.get(id(layer), Plan(None))
            if plan.read is not None:
                name = _free_name(layer.name, names)
                names.add(name)
                _insert(config, layer, name, plan.read.rank)
                added.setdefault(id(inner), {})[name] = [plan.read.first]
            if plan.recurrent:
                with_ranks(layer, _entry(config, layer), [found.rank for found in plan.recurrent])

    return rebuilt(model, edit, lambda layer: _values(layer, plans.get(id(layer), Plan(None))), added)


def _values(layer: Any, plan: Plan) -> list[np.ndarray]:
    """Returns the weights of a layer after its plan."""
    changed: dict[int, list[np.ndarray]] = {}
    if plan.read is not None:
        kernels = _kernels(layer)
        parts = np.split(plan.read.second, len(kernels), axis=-1)
        changed.update({id(kernel): [value] for kernel, value in zip(kernels, parts, strict=True)})
    for part, found in zip(directions(layer), plan.recurrent, strict=False):
        changed[id(part.cell.recurrent_kernel)] = [found.first, found.second]
    return [
        value for weight in layer.weights for value in changed.get(id(weight), [np.asarray(weight.numpy())])
    ]


def _entry(config: dict[str, Any], layer: Any) -> dict[str, Any]:
    return next(entry for entry in config["layers"] if entry["config"]["name"] == layer.name)


def _free_name(name: str, taken: set[str]) -> str:
    low = f"{name}_low"
    number = 2
    while low in taken:
        low, number = f"{name}_low_{number}", number + 1
    return low


def _insert(config: dict[str, Any], layer: Any, name: str, rank: int) -> None:
    """Puts a layer of a rank before another into the config of a model."""
    entry = _entry(config, layer)
    place = config["layers"].index(entry)
    before = keras.saving.serialize_keras_object(_low(layer, name, rank))
    before["name"] = name
    if "inbound_nodes" in entry:  # Not in a `Sequential`, where the order says it all.
        first = next(iter(inspect.signature(layer.call).parameters))
        before["inbound_nodes"] = []
        for number, node in enumerate(entry["inbound_nodes"]):
            given = node["args"][0] if node["args"] else node["kwargs"][first]
            before["inbound_nodes"].append({"args": (copy.deepcopy(given),), "kwargs": {}})
            tensor = copy.deepcopy(given)
            tensor["config"]["keras_history"] = [name, number, 0]
            if node["args"]:
                node["args"] = (tensor, *node["args"][1:])
            else:
                node["kwargs"] = {**node["kwargs"], first: tensor}
    if entry["config"].get("kernel_constraint"):
        entry["config"]["kernel_constraint"] = None
    if isinstance(layer, _CONVOLUTIONS):
        ones = (1,) * layer.rank
        entry["config"].update(kernel_size=ones, strides=ones, dilation_rate=ones, padding="valid")
    config["layers"].insert(place, before)


def _low(layer: Any, name: str, rank: int) -> Any:
    """Returns the layer that comes before, which was not built."""
    if directions(layer):
        return keras.layers.Dense(
            rank,
            use_bias=False,
            kernel_regularizer=directions(layer)[0].kernel_regularizer,
            dtype=layer.dtype_policy,
            name=name,
        )
    width = "filters" if isinstance(layer, _CONVOLUTIONS) else "units"
    own = {"name": name, width: rank, "use_bias": False, "activation": None, "bias_regularizer": None}
    unfit = {"kernel_constraint": None, "bias_constraint": None, "activity_regularizer": None}
    return type(layer).from_config({**layer.get_config(), **own, **unfit})
