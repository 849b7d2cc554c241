"""Names for what goes in and comes out: tensors, dicts by task, data sets, paths.

Keras gives the tensors of its backends no common type. `Tensor` is a protocol that those of TensorFlow
and JAX, `keras.KerasTensor`, `keras.Variable` and NumPy's arrays all meet, so that a type checker
refuses a list or a number where `keras.ops` would have to guess. What may be a list as well is `ArrayLike`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import keras
import numpy.typing

if TYPE_CHECKING:
    import tensorflow as tf

T = TypeVar("T")


class Tensor(Protocol):
    """What `keras.ops` takes and gives: a tensor of the backend, a symbolic one, or an array.

    Operators give `Any`, as `keras.ops` does for a type checker, for no result has a type of its own.
    """

    @property
    def shape(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __abs__(self) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __floordiv__(self, other: Any, /) -> Any: ...
    def __mod__(self, other: Any, /) -> Any: ...
    def __pow__(self, other: Any, /) -> Any: ...
    def __matmul__(self, other: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...


ArrayLike: TypeAlias = Tensor | numpy.typing.ArrayLike
"""What `keras.ops.convert_to_tensor` and `numpy.asarray` take: tensors, arrays, columns, lists, numbers."""

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of a tensor by axis, `None` where a size is not known."""

PathLike: TypeAlias = str | os.PathLike[str]
"""Name of a file or a folder."""

NamedTensors: TypeAlias = Mapping[str, Tensor]
"""Tensors by name: of inputs, of what a trunk offers, of what a layer takes and gives."""

TaskDict: TypeAlias = Mapping[str, T]
"""Something for each task, by the task's name."""

TensorsByTask: TypeAlias = Mapping[str, Tensor]
"""A tensor for each task: outputs, scores, losses."""

Inputs: TypeAlias = ArrayLike | Mapping[str, ArrayLike] | Sequence[ArrayLike]
"""What a model is called with: one input, or several by name or in order."""

Labels: TypeAlias = Mapping[str, ArrayLike]
"""Labels by task. A missing one is `MISSING`, NaN, or the absence of its key."""

ClassWeights: TypeAlias = Mapping[int | str, float] | Sequence[float] | str
"""Weights by class index or name, one for each class, or `"balanced"`."""

SampleWeights: TypeAlias = ArrayLike | Mapping[str, ArrayLike]
"""A weight for each example, the same for all tasks or by task."""

Dataset: TypeAlias = "tf.data.Dataset"
"""A `tf.data.Dataset`; the name needs no TensorFlow."""

Logs: TypeAlias = dict[str, Any] | None
"""What Keras hands to callbacks, which may add to it: numbers by name."""

Initializer: TypeAlias = str | Mapping[str, Any] | keras.initializers.Initializer
"""What `keras.initializers.get` takes."""

Regularizer: TypeAlias = str | Mapping[str, Any] | keras.regularizers.Regularizer | Callable[..., Any] | None
"""What `keras.regularizers.get` takes."""

Seed: TypeAlias = int | keras.random.SeedGenerator | None
"""What `keras.random` takes as a seed."""

DType: TypeAlias = str | keras.DTypePolicy | None
"""Name of a dtype or a policy; `None` for the default."""

Batches: TypeAlias = "Dataset | keras.utils.PyDataset | Iterator[Any]"
"""What gives inputs, labels and weights batch by batch, as tuples."""

Data: TypeAlias = "Inputs | Batches"
"""What a model is trained on, evaluated on or asked about."""

Optimizer: TypeAlias = str | Mapping[str, Any] | keras.optimizers.Optimizer
"""What `keras.optimizers.get` takes."""

Loss: TypeAlias = str | keras.losses.Loss | Callable[..., Any]
"""What `keras.losses.get` takes."""

Metric: TypeAlias = str | keras.metrics.Metric | Callable[..., Any]
"""What `keras.metrics.get` takes, or the name of one of a head's metrics."""

Metrics: TypeAlias = "Metric | Sequence[Metric]"
"""One metric of a task, or several."""
