"""Inputs of several kinds on one base."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, cast

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._fields import check_activation, check_positive, whole_number
from mtlkeras._types import NamedTensors, Tensor
from mtlkeras.features import Features
from mtlkeras.layers.presence import Presence, ZeroWhereMissing
from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._apart import apart
from mtlkeras.trunks._blocks import dropped, penalty
from mtlkeras.trunks._checks import check_regularization
from mtlkeras.trunks._columns import check_columns, check_names, column
from mtlkeras.trunks._source import SOURCE, source_of, split_source
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.stages import Flow, Stage

PROJECTION = "projection"
_MASK = "{}_present"


@spec
class SharedProjection(Trunk):
    """The tasks' inputs, different in kind and width, merged and projected to a common base.

    All inputs are brought to vectors, concatenated in their order, and go through one dense layer; then comes
    `trunk`, if there is one. An example may lack inputs, as that of another data set does: what it lacks is
    zero in the concatenation, whatever stands in its place, so that it adds nothing to the projection and
    nothing is learned from it.

    Called with one input or with a dict of inputs by name:
    - float or bool inputs of shape `(n,)` or `()` are numbers, standardised by `mean` and `scale`;
    - whole-number and string inputs with an entry in `categories` are embedded, all as by `MLP`;
    - inputs of any kind with a trunk in `encoders` are its vector: pictures, texts, tokens.

    An input is missing for an example if all of its entries are NaN, `mtlkeras.MISSING` or `""`; one with an
    encoder also if all are 0, as those of a black picture or of a text of padding. Where what is missing is
    filled otherwise, `present` says which input tells.

    Args:
        units: Units of the projection; or the shape of the base, whose product they are, such as
            `(8, 8, 4)` for a trunk of maps.
        trunk: What the base goes through, such as `MLP()`; `None` for nothing.
        encoders: By input name, a trunk that makes a vector of the input.
        present: By input name, which other input tells where it is there: the name of a bool input of shape
            `()` or `(1,)`, or the name of a whole-number input and the numbers that it then has, as in
            `("source", 0, 2)`. Inputs that only tell are not projected.
        activation: Name of the Keras activation of the projection.
        categories: As for `MLP`, like `embedding_units`, `mean` and `scale`.
        l1: L1 penalty on the kernel of the projection.
        l2: L2 penalty on the kernel of the projection: `l2 * sum(kernel ** 2)`.
        dropout: Rate of dropout on the base, in [0, 1).

    Gives `vector` of shape `(batch, units)` and the tap `projection`; with a `trunk` what that gives, and its
    taps. The first stage is `projection`, the others are those of the `trunk`.

    Raises:
        ValueError: If an input needs an entry in `categories` or `encoders`; if a field names an input that
            is not there; or if a field does not fit.

    Example:

    ```python
    trunk = mtlkeras.trunks.SharedProjection(
        32, mtlkeras.trunks.MLP(depth=1, width=16), encoders={"photo": mtlkeras.trunks.ResNet(8, width=4)}
    )
    inputs = {
        "weather": keras.Input((9,), name="weather"),
        "photo": keras.Input((16, 16, 3), name="photo"),
    }
    trunk(inputs).vector.shape  # (None, 16)
    ```
    """

    gives: ClassVar = ("vector",)

    units: int | tuple[int, ...] = tunable(64, 32, 64, 128, 256)
    trunk: Trunk | None = None
    _: dataclasses.KW_ONLY
    encoders: Mapping[str, Trunk] | None = None
    present: Mapping[str, Any] | None = None
    activation: str = tunable("relu", "relu", "gelu", "linear")
    categories: Mapping[str, int | tuple[str, ...]] | None = None
    embedding_units: int | None = None
    mean: Mapping[str, float | tuple[float, ...]] | None = None
    scale: Mapping[str, float | tuple[float, ...]] | None = None
    l1: float = tunable(0.0, 0.0, 1e-6, 1e-5, 1e-4)
    l2: float = tunable(0.0, 0.0, 1e-5, 1e-4, 1e-3)
    dropout: float = tunable(0.0, 0.0, 0.1, 0.2, 0.3, 0.5)

    @property
    def prepares_inputs(self) -> bool:
        return True

    def validate(self) -> None:
        for size in self.shape:
            whole_number("SharedProjection", "units", size)
        if not 1 <= len(self.shape) <= 3:
            raise ValueError(
                f"SharedProjection: units must be a number or one to three sizes; received {self.units!r}."
            )
        check_activation("SharedProjection", "activation", self.activation)
        check_regularization(self)
        check_columns(self)
        if self.embedding_units is not None:
            check_positive(self, "embedding_units")
        for name, teller in (self.present or {}).items():
            _check_teller(name, teller)
        for name in self.encoders or {}:
            if name in (self.categories or {}):
                raise ValueError(f"SharedProjection: input '{name}' is in encoders and in categories.")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the common base, the batch axis left out."""
        return self.units if isinstance(self.units, tuple) else (self.units,)

    @property
    def makes_weights(self) -> bool:  # type: ignore[override]
        """Whether each call makes weights of its own: not if one of the trunks within does not."""
        return all(trunk.makes_weights for trunk in self._trunks)

    @property
    def reads_source(self) -> bool:
        return any(trunk.reads_source for trunk in self._trunks)

    @property
    def _trunks(self) -> list[Trunk]:
        return [*([] if self.trunk is None else [self.trunk]), *(self.encoders or {}).values()]

    def start(self, inputs: Tensor | NamedTensors) -> Flow:
        """Returns the inputs by name, and beside them where each is present."""
        inputs, beside = split_source(self, inputs)
        named = dict(inputs) if isinstance(inputs, Mapping) else {cast(Any, inputs).name: inputs}
        check_names(self, named, "categories", "mean", "scale", "encoders", "present")
        tellers = {name: _teller(given) for name, given in (self.present or {}).items()}
        for teller, _ in tellers.values():
            if teller not in named and not (beside and teller == SOURCE):
                raise unknown_name("input", teller, named, "SharedProjection: present")
        only_tell = {teller for teller, _ in tellers.values()} - set(tellers)
        read = {name: x for name, x in named.items() if name not in only_tell}
        if not read:
            raise ValueError("SharedProjection: there is no input to project; all only tell of others.")
        masks = {}
        for name in read:
            teller, among = tellers.get(name, (name, None))
            zeros = name in (self.encoders or {}) and name not in tellers
            layer = Presence(among, zeros, name=_MASK.format(name))
            masks[_MASK.format(name)] = layer({**named, **beside}[teller])
        return Flow(read, beside={**masks, **beside})

    def stages(self, flow: Flow) -> list[Stage]:
        first = Stage(PROJECTION, self._project)
        if self.trunk is None:
            return [first]
        base = keras.Input(self.shape, dtype=keras.config.dtype_policy().compute_dtype)
        inner = list(self.trunk.stages(self._inner_start(base, flow)))
        return [
            first,
            *(Stage(s.name, partial(self._within, s, number)) for number, s in enumerate(inner)),
        ]

    def end(self, flow: Flow) -> Features:
        if self.trunk is None:
            kind = {1: "vector", 2: "sequence", 3: "map"}
            return Features(**{kind[len(self.shape)]: flow.x}, taps=flow.taps, source=self)  # type: ignore[arg-type]
        return dataclasses.replace(self.trunk.end(flow), source=self)

    def _project(self, flow: Flow) -> Flow:
        vectors = [self._vector(name, flow) for name in flow.x]
        x = keras.layers.Concatenate(name="inputs_merged")(vectors) if len(vectors) > 1 else vectors[0]
        x = keras.layers.Dense(
            math.prod(self.shape),
            kernel_initializer="he_normal",
            kernel_regularizer=penalty(self),
            name=PROJECTION,
        )(x)
        x = keras.layers.Activation(self.activation, name=f"{PROJECTION}_{self.activation}")(x)
        if len(self.shape) > 1:
            x = keras.layers.Reshape(self.shape, name=f"{PROJECTION}_shape")(x)
        return flow.to(dropped(self, x, f"{PROJECTION}_dropout"))

    def _vector(self, name: str, flow: Flow) -> Any:
        """Returns one input as `(batch, n)`, zero where it is missing."""
        x, there, source = flow.x[name], flow.beside[_MASK.format(name)], source_of(flow)
        encoder = (self.encoders or {}).get(name)
        if encoder is None:
            remedy = f" An input of another kind needs a trunk that reads it, in encoders={{'{name}': ...}}."
            vector = column(self, name, x, remedy)
        else:
            if keras.backend.is_float_dtype(x.dtype):  # It would carry NaN on to the weights' gradients.
                x = ZeroWhereMissing(name=f"{name}_filled")([x, there])
            given = _given(encoder, name, x, source)
            vector = apart(partial(_encoded, encoder, name), given, f"{name}_encoder")
        return ZeroWhereMissing(name=f"{name}_known")([vector, there])

    def _inner_start(self, x: Any, flow: Flow) -> Flow:
        trunk = cast(Trunk, self.trunk)
        return trunk.start(_given(trunk, PROJECTION, x, source_of(flow)))

    def _within(self, stage: Stage, number: int, flow: Flow) -> Flow:
        """Runs a stage of the inner trunk, which begins with a start of its own."""
        if number == 0:
            begun = self._inner_start(flow.x, flow)
            flow = flow.to(begun.x, beside=begun.beside, taps=begun.taps)
        return stage.function(flow)


def _given(trunk: Trunk, name: str, x: Any, source: Any) -> Any:
    """Returns what a trunk within is called with: one tensor, and the source where it reads that."""
    return {name: x, SOURCE: source} if trunk.reads_source else x


def _encoded(encoder: Trunk, name: str, given: Any) -> Any:
    return encoder(given).get("vector", asked_by=f"SharedProjection: the encoder of input '{name}'")


def _teller(given: Any) -> tuple[str, Sequence[int] | None]:
    """Returns the input that tells of another, and the numbers that it has if the other is there."""
    return (given, None) if isinstance(given, str) else (given[0], given[1:])


def _check_teller(name: str, teller: Any) -> None:
    if isinstance(teller, str):
        return
    numbers = teller[1:] if isinstance(teller, tuple) else ()
    if not numbers or not isinstance(teller[0], str) or not all(type(n) is int for n in numbers):
        raise ValueError(
            f"SharedProjection: present of input '{name}' must be the name of a bool input, or the name of a "
            f"whole-number input and the numbers that it has where '{name}' is there, such as ('source', 0); "
            f"received {teller!r}."
        )
