"""A multilayer perceptron for tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

import keras

from mtlkeras._fields import check_activation, check_choice, check_positive
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._blocks import dropped, norm, penalty
from mtlkeras.trunks._checks import check_regularization
from mtlkeras.trunks._columns import check_columns, check_names, column
from mtlkeras.trunks._source import check_sources, source_of, split_source
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow, Stage


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
        normalization: `"batch"`, `"group"` (up to 32 groups of at least 8 units) or `"layer"` between
            each dense layer and its activation, or `None`; or `"batch_per_source"`, batch statistics of
            each data set apart, whose number the input `"source"` tells beside the others
            (`mtlkeras.layers.BatchNormalizationPerSource`).
        sources: How many data sets there are, for `"batch_per_source"`.

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
    sources: int | None = None

    @property
    def prepares_inputs(self) -> bool:
        return bool(self.mean or self.scale)

    def validate(self) -> None:
        check_positive(self, "depth")
        check_positive(self, "width")
        check_choice(self, "normalization", ("batch", "batch_per_source", "group", "layer", None))
        check_sources(self)
        check_regularization(self)
        check_activation("MLP", "activation", self.activation)
        if self.embedding_units is not None:
            check_positive(self, "embedding_units")
        check_columns(self)

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the inputs by name, after a check of their names."""
        inputs, beside = split_source(self, inputs)
        named = dict(inputs) if isinstance(inputs, Mapping) else {cast(Any, inputs).name: inputs}
        check_names(self, named, "categories", "mean", "scale")
        return Flow(named, beside=beside)

    def stages(self, flow: Flow) -> list[Stage]:
        deeper = [f"hidden_{number}" for number in range(2, self.depth + 1)]
        return [
            Stage("hidden_1", self._first_hidden),
            *(Stage(name, partial(self._hidden, name)) for name in deeper),
        ]

    def end(self, flow: Flow) -> Features:
        return Features(vector=flow.x, taps=flow.taps, source=self)

    def _first_hidden(self, flow: Flow) -> Flow:
        columns = [column(self, name, tensor) for name, tensor in flow.x.items()]
        x = keras.layers.Concatenate(name="columns")(columns) if len(columns) > 1 else columns[0]
        return self._hidden("hidden_1", flow.to(x))

    def _hidden(self, name: str, flow: Flow) -> Flow:
        x = keras.layers.Dense(
            self.width, kernel_initializer="he_normal", kernel_regularizer=penalty(self), name=name
        )(flow.x)
        if self.normalization:
            x = norm(self, x, f"{name}_norm", source=source_of(flow))
        x = keras.layers.Activation(self.activation, name=f"{name}_{self.activation}")(x)
        return flow.to(dropped(self, x, f"{name}_dropout"))
