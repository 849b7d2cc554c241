"""Kernels of low rank as two layers."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._fields import frozen, whole_number
from mtlkeras._keras_private import functional_within, has_graph
from mtlkeras._model.model import MultiTaskModel
from mtlkeras.compress._named import named_layers
from mtlkeras.compress._rebuild import rebuilt
from mtlkeras.sharing._tied import Tied

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_RECURRENT = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM)


@dataclasses.dataclass(frozen=True)
class Factors:
    """A kernel as the product of two.

    Args:
        first: That of the layer that comes before, in the shape of its kernel.
        second: That which the layer keeps.
    """

    first: np.ndarray
    second: np.ndarray

    @property
    def rank(self) -> int:
        """The number of channels between the two."""
        return self.first.shape[-1]


def factorize(
    model: MultiTaskModel,
    rank: int | None = None,
    *,
    energy: float | None = None,
    layers: Sequence[str] | None = None,
) -> MultiTaskModel:
    """Returns a model whose large kernels are products of two small ones.

    The singular value decomposition of a kernel gives the nearest one of a rank (Eckart and Young 1936). A
    dense layer becomes one without bias and activation, `<name>_low`, and one of its own name behind it
    (Xue et al. 2013, Restructuring of Deep Neural Network Acoustic Models with Singular Value
    Decomposition); a convolution one with fewer filters and a 1x1 convolution of its name (Zhang et al. 2016,
    Accelerating Very Deep Convolutional Networks, section 3.1); a recurrent layer reads its inputs through
    such a dense layer. Where a kernel has the rank, the outputs are the same. Names, heads, saving and
    export stay; the model is compiled as the other is, its optimizer begun anew.

    Args:
        model: The model, which stays as it is.
        rank: The rank of all these kernels.
        energy: Without a rank, the share of the sum of the squared singular values that each kernel keeps at
            least, in (0, 1]; 0.9 if neither is given.
        layers: Names of the layers; by default all of the trunk that then have fewer weights.

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
    if not isinstance(model, MultiTaskModel):
        raise ValueError(f"factorize: expected a MultiTaskModel; received {type(model).__name__}.")
    if rank is not None and energy is not None:
        raise ValueError("factorize: give rank= or energy=; received both.")
    energy = 0.9 if energy is None else frozen(energy)
    if not isinstance(energy, (int, float)) or not 0 < energy <= 1:
        raise ValueError(f"factorize: energy must be above 0, up to 1; received {energy!r}.")
    if rank is not None:
        whole_number("factorize", "rank", rank)
    chosen = _chosen(model, layers)
    factors = {id(layer): _factors(layer, rank, float(energy)) for layer in chosen}
    _check_tied(model, rank)
    if layers is None:
        factors = {key: found for key, found in factors.items() if found is not None}
    for layer in chosen:
        if layers is not None and factors[id(layer)] is None:
            raise ValueError(
                f"factorize: layer '{layer.name}' would have no fewer weights; ask for a lower rank."
            )
    if not factors:
        raise ValueError("factorize: no layer would have fewer weights; ask for a lower rank or energy.")
    return _with_factors(model, factors)


def _check_tied(model: Any, rank: int | None) -> None:
    if rank is None and any(isinstance(layer, Tied) for layer in model.layers):
        raise ValueError(
            "factorize: SoftSharing compares the trunks weight by weight, so their kernels need one rank: "
            "give rank=."
        )


def _chosen(model: Any, names: Sequence[str] | None) -> list[Any]:
    """Returns the layers to factorise.

    Raises:
        ValueError: If a name means none, or one that cannot be.
    """
    heads = {id(layer) for layer in model.layers if not has_graph(functional_within(layer))}
    known = dict(named_layers(model))
    if names is None:
        every = {id(layer): layer for _, layer in named_layers(model) if id(layer) not in heads}
        return [layer for layer in every.values() if _refusal(layer) is None]
    if isinstance(names, str):
        raise ValueError(
            f"factorize: layers must be names in a tuple, such as ({names!r},); received {names!r}."
        )
    for name in names:
        if name not in known:
            raise unknown_name("layer", name, known, "layers= of factorize")
        refusal = _refusal(known[name])
        if refusal is not None:
            raise ValueError(f"factorize: layer '{name}' ({type(known[name]).__name__}) {refusal}.")
    return [layer for name, layer in named_layers(model) if name in names]


def _refusal(layer: Any) -> str | None:
    """Returns why a layer cannot be factorised, or `None`."""
    if type(layer) not in (keras.layers.Dense, *_CONVOLUTIONS, *_RECURRENT):
        return "cannot be factorised: dense, convolutional and recurrent layers of Keras can"
    if getattr(layer, "groups", 1) > 1:
        return "cannot be factorised: it convolves in groups"
    if getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        return "cannot be factorised: it is quantized or has a low-rank update"
    return None


def _factors(layer: Any, rank: int | None, energy: float) -> Factors | None:
    """Returns the factors of a layer's kernel, or `None` where they would have no fewer numbers."""
    kernel = _kernel(layer)
    value = np.asarray(kernel.numpy(), "float64")
    left, values, right = np.linalg.svd(value.reshape(-1, value.shape[-1]), full_matrices=False)
    if rank is None:
        there = int((values > values[0] * np.finfo("float32").eps * max(value.shape)).sum())
        kept = np.cumsum(values**2) / max(float((values**2).sum()), 1e-300)
        rank = min(max(there, 1), int(np.searchsorted(kept, energy)) + 1)
    rank = min(rank, len(values))
    if rank * (left.shape[0] + right.shape[1]) >= value.size:
        return None
    roots = np.sqrt(values[:rank])
    first, second = left[:, :rank] * roots, roots[:, None] * right[:rank]
    ones = (1,) * (value.ndim - 2)
    dtype = str(np.asarray(kernel.numpy()).dtype)
    return Factors(
        first.reshape(*value.shape[:-1], rank).astype(dtype),
        second.reshape(*ones, rank, value.shape[-1]).astype(dtype),
    )


def _kernel(layer: Any) -> Any:
    return next(weight for weight in layer.weights if weight.name == "kernel")


def _with_factors(model: Any, factors: dict[int, Factors | None]) -> Any:
    """Returns the model with a layer before each of some, and their kernels as the products of both."""
    added: dict[int, dict[str, list[np.ndarray]]] = {}

    def edit(part: Any, config: dict[str, Any]) -> None:
        inner = functional_within(part)
        names = {operation.name for operation in inner.operations}
        for layer in inner.operations:
            found = factors.get(id(layer))
            if found is not None:
                name = _free_name(layer.name, names)
                names.add(name)
                _insert(config, layer, name, found.rank)
                added.setdefault(id(inner), {})[name] = [found.first]

    def values(layer: Any) -> list[np.ndarray]:
        found = factors.get(id(layer))
        return [
            found.second if found is not None and weight is _kernel(layer) else np.asarray(weight.numpy())
            for weight in layer.weights
        ]

    return rebuilt(model, edit, values, added)


def _free_name(name: str, taken: set[str]) -> str:
    low = f"{name}_low"
    number = 2
    while low in taken:
        low, number = f"{name}_low_{number}", number + 1
    return low


def _insert(config: dict[str, Any], layer: Any, name: str, rank: int) -> None:
    """Puts a layer of a rank before another into the config of a model."""
    place = next(i for i, entry in enumerate(config["layers"]) if entry["config"]["name"] == layer.name)
    entry = config["layers"][place]
    before = keras.saving.serialize_keras_object(_low(layer, name, rank))
    before["name"] = name
    if "inbound_nodes" in entry:  # Not in a `Sequential`, where the order says it all.
        before["inbound_nodes"] = [
            {"args": (copy.deepcopy(node["args"][0]),), "kwargs": {}} for node in entry["inbound_nodes"]
        ]
        for number, node in enumerate(entry["inbound_nodes"]):
            tensor = copy.deepcopy(node["args"][0])
            tensor["config"]["keras_history"] = [name, number, 0]
            node["args"] = (tensor, *node["args"][1:])
    if entry["config"].get("kernel_constraint"):
        entry["config"]["kernel_constraint"] = None
    if isinstance(layer, _CONVOLUTIONS):
        ones = (1,) * layer.rank
        entry["config"].update(kernel_size=ones, strides=ones, dilation_rate=ones, padding="valid")
    config["layers"].insert(place, before)


def _low(layer: Any, name: str, rank: int) -> Any:
    """Returns the layer that comes before, which was not built."""
    if isinstance(layer, _RECURRENT):
        return keras.layers.Dense(
            rank,
            use_bias=False,
            kernel_regularizer=layer.kernel_regularizer,
            dtype=layer.dtype_policy,
            name=name,
        )
    width = "filters" if isinstance(layer, _CONVOLUTIONS) else "units"
    own = {"name": name, width: rank, "use_bias": False, "activation": None, "bias_regularizer": None}
    unfit = {"kernel_constraint": None, "bias_constraint": None, "activity_regularizer": None}
    return type(layer).from_config({**layer.get_config(), **own, **unfit})
