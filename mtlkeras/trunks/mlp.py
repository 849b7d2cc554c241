"""A multilayer perceptron for tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._fields import check_activation, check_choice, check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.layers.preprocessing import CategoryIndex
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import dropped, norm, penalty
from mtlkeras.trunks._checks import check_regularization
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow, Stage

_LARGEST_EMBEDDING = 50


@spec
class MLP(Trunk):
    """Dense layers on numbers and embedded categories.

    Called with one input of numbers, of shape `(n,)` or `()`, or with a dict of inputs by name:
    - float or bool inputs are numbers; with `mean` and `scale` they are standardised inside
      the model as `(x - mean) / scale`;
    - whole-number and string inputs are categories, each of which must be in `categories`.
    All are concatenated, in the order of the inputs, and go through `depth` dense layers.

    Args:
        depth: Number of dense layers.
        width: Units of each dense layer.
        activation: Name of a Keras activation.
        categories: By input name, the number of categories for codes `0..n-1`, or a tuple of
            the categories' names. A string input needs the names; a whole-number input holds
            codes, positions among the names. A code or string that is not among them counts as
            unknown, which has an embedding of its own.
        embedding_units: Length of each embedding; `None` for half the number of categories,
            at most 50.
        mean: By input name, a number or one per column, in the input's units.
        scale: As `mean`; the standard deviation, for example. Greater than zero.
        l1: L1 penalty on every dense kernel of the trunk; embeddings have none.
        l2: L2 penalty on every dense kernel: `l2 * sum(kernel ** 2)`.
        dropout: Rate of dropout after each dense layer, in [0, 1).
        normalization: `"batch"` or `"layer"` between each dense layer and its activation, or
            `None`.

    Gives `vector` of shape `(batch, width)` and the taps `hidden_1`, `hidden_2`, ...

    Raises:
        ValueError: If a category input has no entry in `categories`; if `categories`, `mean` or
            `scale` name an input that is not there or does not fit; or if a field does not fit.

    Example:

    ```python
    trunk = mtlkeras.trunks.MLP(
        categories={"colour": ("red", "green")}, mean={"age": 40.0}, scale={"age": 12.0}
    )
    inputs = {"age": keras.Input((), name="age"), "colour": keras.Input((), dtype="int32", name="colour")}
    trunk(inputs).vector.shape  # (None, 128)
    ```
    """

    gives: ClassVar = ("vector",)

    depth: int = tunable(2, 1, 2, 3, 4)
    width: int = tunable(128, 32, 64, 128, 256, 512)
    _: dataclasses.KW_ONLY
    activation: str = tunable("relu", "relu", "gelu", "selu")
    categories: Mapping[str, int | tuple[str, ...]] | None = None
    embedding_units: int | None = None
    mean: Mapping[str, float | tuple[float, ...]] | None = None
    scale: Mapping[str, float | tuple[float, ...]] | None = None
    l1: float = tunable(0.0, 0.0, 1e-6, 1e-5, 1e-4)
    l2: float = tunable(0.0, 0.0, 1e-5, 1e-4, 1e-3)
    dropout: float = tunable(0.0, 0.0, 0.1, 0.2, 0.3, 0.5)
    normalization: str | None = tunable(None, None, "batch", "layer")

    def validate(self) -> None:
        check_positive(self, "depth")
        check_positive(self, "width")
        check_choice(self, "normalization", ("batch", "layer", None))
        check_regularization(self)
        check_activation("MLP", "activation", self.activation)
        if self.embedding_units is not None:
            check_positive(self, "embedding_units")
        for name, known in (self.categories or {}).items():
            _check_categories(name, known)
        for name, scale in (self.scale or {}).items():
            if not all(value > 0 for value in _numbers(scale)):
                raise ValueError(
                    f"MLP: scale of input '{name}' must be greater than zero; received {scale!r}."
                )

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the inputs by name, after a check of their names."""
        named = dict(inputs) if isinstance(inputs, Mapping) else {cast(Any, inputs).name: inputs}
        self._check_names(named)
        return Flow(named)

    def stages(self, flow: Flow) -> list[Stage]:
        deeper = [f"hidden_{number}" for number in range(2, self.depth + 1)]
        return [
            Stage("hidden_1", self._first_hidden),
            *(Stage(name, partial(self._hidden, name)) for name in deeper),
        ]

    def end(self, flow: Flow) -> Features:
        return Features(vector=flow.x, taps=flow.taps, source=self)

    def _first_hidden(self, flow: Flow) -> Flow:
        columns = [self._column(name, tensor) for name, tensor in flow.x.items()]
        x = keras.layers.Concatenate(name="columns")(columns) if len(columns) > 1 else columns[0]
        return self._hidden("hidden_1", flow.to(x))

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        for field in ("categories", "mean", "scale"):
            for name in getattr(self, field) or {}:
                if name not in inputs:
                    raise unknown_name("input", name, inputs, f"MLP: {field}")

    def _hidden(self, name: str, flow: Flow) -> Flow:
        x = keras.layers.Dense(
            self.width, kernel_initializer="he_normal", kernel_regularizer=penalty(self), name=name
        )(flow.x)
        if self.normalization:
            x = norm(self.normalization, x, f"{name}_norm")
        x = keras.layers.Activation(self.activation, name=f"{name}_{self.activation}")(x)
        return flow.to(dropped(self, x, f"{name}_dropout"))

    def _column(self, name: str, tensor: Tensor) -> Any:
        """Returns one input as floats of shape `(batch, n)`."""
        if len(tensor.shape) > 2:
            raise ValueError(
                f"MLP: input '{name}' must have the shape (n,) or (); received {tuple(tensor.shape[1:])}."
            )
        if name in (self.categories or {}):
            return self._embedded(name, tensor)
        if keras.backend.is_float_dtype(tensor.dtype) or tensor.dtype == "bool":
            return self._number(name, tensor)
        raise ValueError(
            f"MLP: input '{name}' of dtype {tensor.dtype} holds categories, so it needs an entry in "
            f"categories: the number of categories or their names, such as categories={{'{name}': 10}}. "
            f"If it holds amounts, make it a float input."
        )

    def _number(self, name: str, tensor: Tensor) -> Any:
        x = _column_of(tensor, name)
        if tensor.dtype == "bool":
            x = keras.layers.Rescaling(1.0, name=f"{name}_number")(x)
        mean, scale = (self.mean or {}).get(name, 0.0), (self.scale or {}).get(name, 1.0)
        for field, value in (("mean", mean), ("scale", scale)):
            if isinstance(value, tuple) and len(value) != x.shape[-1]:
                raise ValueError(
                    f"MLP: {field} of input '{name}' needs one number or {x.shape[-1]}; "
                    f"received {len(value)}."
                )
        if name not in (self.mean or {}) and name not in (self.scale or {}):
            return x
        count = x.shape[-1]
        return keras.layers.Normalization(
            mean=_numbers(mean, count),
            variance=[s**2 for s in _numbers(scale, count)],
            name=f"{name}_standardized",
        )(x)

    def _embedded(self, name: str, tensor: Tensor) -> Any:
        known = self.categories[name]  # type: ignore[index]
        size = known if isinstance(known, int) else len(known)
        index = (
            self._lookup(name, known, tensor) if tensor.dtype == "string" else self._codes(name, size, tensor)
        )
        units = self.embedding_units or min(_LARGEST_EMBEDDING, (size + 1) // 2)
        x = keras.layers.Embedding(size + 1, units, name=f"{name}_embedding")(_column_of(index, name))
        return keras.layers.Flatten(name=f"{name}_flat")(x)

    def _codes(self, name: str, size: int, tensor: Tensor) -> Any:
        if keras.backend.is_float_dtype(tensor.dtype):
            raise ValueError(
                f"MLP: input '{name}' is in categories, so it must have a whole-number or string dtype; "
                f"received {tensor.dtype}."
            )
        return CategoryIndex(size, name=f"{name}_index")(tensor)

    def _lookup(self, name: str, known: Any, tensor: Tensor) -> Any:
        if isinstance(known, int):
            raise ValueError(
                f"MLP: the string input '{name}' needs its categories' names, not their number ({known})."
            )
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"MLP: the input '{name}' holds strings, which only the TensorFlow backend can look up "
                f"inside a model. Make it a whole-number input of positions in categories['{name}']."
            )
        return keras.layers.StringLookup(vocabulary=list(known), name=f"{name}_index")(tensor)


def _column_of(tensor: Tensor, name: str) -> Any:
    return tensor if len(tensor.shape) == 2 else keras.layers.Reshape((1,), name=f"{name}_column")(tensor)


def _numbers(value: Any, count: int = 1) -> list[float]:
    return [float(v) for v in value] if isinstance(value, tuple) else [float(value)] * count


def _check_categories(name: str, known: Any) -> None:
    if isinstance(known, int) and not isinstance(known, bool) and known >= 1:
        return
    if not isinstance(known, tuple) or not known or not all(isinstance(k, str) for k in known):
        raise ValueError(
            f"MLP: categories of input '{name}' must be their number or a tuple of their names; "
            f"received {known!r}."
        )
    if len(set(known)) != len(known):
        raise ValueError(f"MLP: categories of input '{name}' must be distinct; received {known!r}.")
