"""`build_model`: from inputs, a trunk and heads to a model."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import keras

from mtlkeras._fields import frozen
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.only_tasks import chosen_parts
from mtlkeras._model.wiring import Wiring
from mtlkeras._types import Shape
from mtlkeras.dependence import Dependence
from mtlkeras.dependence.base import DEPENDENCE
from mtlkeras.features import Features
from mtlkeras.heads.base import Head
from mtlkeras.sharing import HardSharing, Shared, Sharing
from mtlkeras.sharing.base import TRUNK
from mtlkeras.sharing.hard import FORK
from mtlkeras.trunks.base import Trunk

_LAYER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def build_model(
    inputs: keras.KerasTensor | Shape | Mapping[str, keras.KerasTensor | Shape],
    trunk: Trunk | keras.Model,
    heads: Mapping[str, Head],
    sharing: Sharing | None = None,
    dependence: Dependence | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a functional model with one named output per task on a shared trunk.

    Args:
        inputs: A `keras.Input`, a dict of them by name, or a shape without the batch axis (then of
            float32): whole numbers and `None`s in a tuple, list or array, or one number.
        trunk: A `mtlkeras.trunks.Trunk`, or a functional `keras.Model` such as one of
            keras.applications, a KerasHub backbone or another model's `model.trunk`.
        heads: The heads by task. A task's name is the key of its labels, the name of its
            output and the prefix of its metrics.
        sharing: How the tasks use the trunk; `HardSharing()` by default.
        dependence: How the answers to some tasks depend on each other; by default they do not.
        name: Name of the model.

    Raises:
        ValueError: If a task's name cannot name a layer or is taken, if a head asks for a
            feature that the trunk lacks, if the inputs do not fit the trunk, or if a task cannot be
            part of the dependence.

    Example:

    ```python
    model = mtlkeras.build_model(
        inputs=(28, 28, 1),
        trunk=mtlkeras.trunks.ResNet(depth=8),
        heads={"article": mtlkeras.heads.Classification(10), "group": mtlkeras.heads.Classification(4)},
    )
    model.compile("adam")
    ```
    """
    inputs = as_inputs(inputs)
    _check_trunk(trunk)
    _check_heads(heads, [x.name for x in keras.tree.flatten(inputs)])
    _check_spec("sharing", "a scheme", sharing, Sharing)
    _check_spec("dependence", "a dependence", dependence, Dependence)
    heads, sharing, dependence = chosen_parts(heads, sharing, dependence)
    shared = _checked_shared(sharing or HardSharing(), trunk, inputs, heads)
    picture = _picture(inputs)
    features = {task: dataclasses.replace(shared.features[task], **picture) for task in heads}
    outputs = Wiring(heads, features, dependence).outputs()
    try:
        return MultiTaskModel(inputs, outputs, name=name)
    except ValueError as error:
        raise _name_taken(heads, error) from None


def as_inputs(inputs: Any) -> Any:
    """Returns `keras.Input`s for an input, a shape tuple, or a dict of either."""
    if isinstance(inputs, Mapping):
        return {key: _as_input(value, key) for key, value in inputs.items()}
    return _as_input(inputs, "inputs")


def _as_input(value: Any, name: str) -> Any:
    if isinstance(value, keras.KerasTensor):
        return value
    shape = frozen(value)
    shape = shape if isinstance(shape, tuple) else (shape,)
    if value is not None and all(n is None or (type(n) is int and n > 0) for n in shape):
        return keras.Input(shape, name=name)
    where = "inputs" if name == "inputs" else f"input {name!r}"
    raise ValueError(
        f"{where}: expected a keras.Input or a shape without the batch axis, of whole numbers above zero and "
        f"None; received {value!r}."
    )


def _picture(inputs: Any) -> dict[str, Any]:
    """Returns what `Features` say of the one picture among the inputs: its size, or else the picture."""
    pictures = [x for x in keras.tree.flatten(inputs) if len(x.shape) == 4]
    if len(pictures) != 1:
        return {}
    size = tuple(pictures[0].shape[1:3])
    return {"image": pictures[0]} if None in size else {"picture": size}


def _name_taken(heads: Mapping[str, Head], error: ValueError) -> ValueError:
    """Returns the error for a task that has the name of another task's layer, if Keras means one."""
    for task in heads:
        for other in heads:
            if f'"{task}" is used' in str(error) and task.startswith(f"{other}_"):
                return ValueError(
                    f"heads: the task name '{task}' is taken by a layer of task '{other}'. Rename one."
                )
    return error


def _check_trunk(trunk: Any) -> None:
    if isinstance(trunk, type) and issubclass(trunk, Trunk):
        raise ValueError(f"trunk: expected a trunk such as {trunk.__name__}(); received the class itself.")
    if not isinstance(trunk, (Trunk, keras.Model)):
        raise ValueError(
            f"trunk: expected a mtlkeras.trunks.Trunk or a functional keras.Model; received {trunk!r}."
        )


def _checked_shared(sharing: Sharing, trunk: Any, inputs: Any, heads: Mapping[str, Head]) -> Shared:
    """Returns what a scheme builds.

    Raises:
        ValueError: If it is no `Shared`, or has nothing for a task.
    """
    shared, name = sharing(trunk, inputs, heads), type(sharing).__name__
    if not isinstance(shared, Shared):
        raise ValueError(
            f"sharing: {name} must return mtlkeras.sharing.Shared(features, trunk); received "
            f"{type(shared).__name__}."
        )
    for task in heads:
        if not isinstance(shared.features.get(task), Features):
            raise ValueError(f"sharing: {name} gives no Features for task '{task}'.")
    return shared


def _check_spec(argument: str, what: str, given: Any, kind: type) -> None:
    if isinstance(given, type) and issubclass(given, kind):
        raise ValueError(
            f"{argument}: expected {what} such as {given.__name__}(...); received the class itself."
        )
    if given is not None and not isinstance(given, kind):
        name = f"mtlkeras.{argument}.{kind.__name__}"
        raise ValueError(f"{argument}: expected a {name} or None; received {given!r}.")


def _check_heads(heads: Any, input_names: list[str]) -> None:
    if not isinstance(heads, Mapping) or not heads:
        raise ValueError(f"heads: expected a dict of at least one head by task; received {heads!r}.")
    for task, head in heads.items():
        if not isinstance(task, str) or not _LAYER_NAME.fullmatch(task):
            fixed = re.sub(r"[^A-Za-z0-9_.-]+", "_", str(task)).strip("_.-")
            raise ValueError(
                f"heads: the task name {task!r} cannot name a layer: use letters, digits, '_', '-' and '.', "
                f"with a letter or digit first.{f' For example {fixed!r}.' if fixed else ''}"
            )
        if task in input_names or task in (TRUNK, FORK, DEPENDENCE, "loss"):
            owner = "an input" if task in input_names else "the model itself"
            raise ValueError(f"heads: the task name '{task}' is taken by {owner}.")
        if not isinstance(head, Head):
            raise ValueError(f"heads: task '{task}' needs a mtlkeras.heads.Head; received {head!r}.")
