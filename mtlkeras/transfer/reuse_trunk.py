"""The trunk of a trained model under other heads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from mtlkeras._errors import unknown_name
from mtlkeras._model import checks
from mtlkeras._model.builder import build_model
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._types import PathLike, TaskDict
from mtlkeras.heads import Head
from mtlkeras.sharing import Branching, CrossStitch, HardSharing, Sharing, Sluice, SoftSharing
from mtlkeras.sharing.base import TRUNK
from mtlkeras.transfer._origin import Origin
from mtlkeras.transfer.copy_weights import copy_weights, in_common
from mtlkeras.transfer.l2sp import L2SP
from mtlkeras.trunks._held import held
from mtlkeras.trunks._stage_layers import stages_of, units

_A_TRUNK_A_TASK = (Branching, CrossStitch, Sluice, SoftSharing)


def reuse_trunk(
    source: keras.Model | PathLike,
    heads: Mapping[str, Head],
    freeze: bool | str | Sequence[str] = False,
    at: str | TaskDict[str] | None = None,
    sharing: Sharing | None = None,
    penalty: L2SP | None = None,
    share: bool = False,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a model with new heads on the trunk of a trained model, which stays as it is.

    The inputs are those of the source, the weights of the trunk copies of its weights, moving statistics
    included. What the trunk, or the sharing scheme, has for tasks that the source does not know begins anew:
    gates, adapters, masks, experts of a task. The model is not compiled.

    Args:
        source: A trained `MultiTaskModel`, a trunk such as its `trunk`, or the path of a `.keras` file of
            either.
        heads: The new heads by task.
        freeze: Whether what was copied is left out of training, statistics included; or names of the stages
            of which that holds.
        at: Name of a tap of the trunk that all heads sit on, or names by task; in place of the heads' own
            `at`.
        sharing: How the tasks use the trunk; by default as those of the source.
        penalty: What holds the trunk near its start.
        share: Whether the trunk is that of the source itself, and not a copy: what changes one changes both,
            freezing too. Taps are then the trunk's layers by name.
        name: Name of the model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the tasks of the source share no trunk, an argument names a task, tap or stage that is
            not there, or the trunk cannot be used under the scheme.

    Example:

    ```python
    heads = {"y": mtlkeras.heads.Regression()}
    trained = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(depth=2), heads)
    model = mtlkeras.transfer.reuse_trunk(
        trained, {"kind": mtlkeras.heads.Classification(3)}, freeze=("hidden_1",), at="hidden_2"
    )
    model.compile("adam")
    ```
    """
    if penalty is not None and not isinstance(penalty, L2SP):
        raise ValueError(f"penalty: expected a mtlkeras.transfer.L2SP(...) or None; received {penalty!r}.")
    origin = Origin(source, "reuse_trunk")
    chosen = _at(heads, at)
    if penalty is not None and isinstance(chosen, Mapping):
        chosen = penalty.on_heads(chosen)
    scheme = sharing or origin.sharing
    trunk = _itself(origin, scheme) if share else _copy(origin, scheme)
    model = build_model(origin.inputs(), trunk, chosen, scheme, name=name)
    if share or origin.spec is None:
        copied = [unit for unit in units(model.trunk) if unit.weights]
    else:
        copied = _copied(origin, model, scheme)
    if penalty is not None:
        model = _held(model, copied, penalty)
    for layer in _to_freeze(model.trunk, copied, freeze):
        layer.trainable = False
    return model


def _copy(origin: Origin, scheme: Sharing) -> Any:
    """Returns what builds a trunk like the source's, or a copy of it.

    Raises:
        ValueError: If there is none for the tasks to share.
    """
    if isinstance(scheme, _A_TRUNK_A_TASK) or isinstance(origin.sharing, _A_TRUNK_A_TASK):
        which = scheme if isinstance(scheme, _A_TRUNK_A_TASK) else origin.sharing
        raise ValueError(
            f"reuse_trunk: under {type(which).__name__} tasks have trunks of their own, so there is none "
            "for other tasks to read. Copy the layers that are wanted: mtlkeras.transfer.copy_weights."
        )
    if origin.spec is None:
        return _cloned(origin.trunk)
    # Files of weights need not be read: the source has them.
    return origin.spec.replace(weights=None) if "weights" in origin.spec.field_names() else origin.spec


def _cloned(trunk: Any) -> keras.Model:
    """Returns a copy of a trunk that carries no spec."""
    names = [x for x in trunk.output if "_reads_" in x] if isinstance(trunk.output, dict) else []
    if names:
        raise ValueError(
            f"reuse_trunk: the trunk is a keras.Model with parts of each task ('{names[0]}'), which "
            "other tasks cannot read. Build on the keras.Model that it was made of."
        )
    clone = keras.models.clone_model(trunk)
    clone.set_weights(trunk.get_weights())
    return clone


def _itself(origin: Origin, scheme: Sharing) -> Any:
    """Returns the trunk of the source.

    Raises:
        ValueError: If parts of it belong to tasks.
    """
    for which in (scheme, origin.sharing):
        if not isinstance(which, HardSharing):
            raise ValueError(
                f"reuse_trunk: share=True is for one trunk under HardSharing; received a model or "
                f"sharing of {type(which).__name__}."
            )
    return origin.trunk


def _at(heads: Any, at: Any) -> Any:
    """Returns heads on the taps that are asked for; `build_model` checks them."""
    if at is None or not isinstance(heads, Mapping):
        return heads
    places = dict.fromkeys(heads, at) if isinstance(at, str) else checks.by_task(at, list(heads), "at")
    return {
        task: head.replace(at=places[task]) if task in places and isinstance(head, Head) else head
        for task, head in heads.items()
    }


def _copied(origin: Origin, model: MultiTaskModel, scheme: Sharing) -> list[Any]:
    """Copies the weights; returns the layers that have them."""
    names = copy_weights(origin.trunk, model.trunk)
    _, found = in_common(origin.trunk, model.trunk)
    copied = [found[name] for name in names]
    if isinstance(scheme, HardSharing):
        having = {id(v) for layer in copied for v in layer.weights}
        fresh = [u.name for u in units(model.trunk) if any(id(v) not in having for v in u.weights)]
        if fresh:
            warnings.warn(
                f"reuse_trunk: the trunk of the source has no {', '.join(map(repr, fresh))}, which the new "
                "heads read: these layers begin untrained. A head of the same kind in the source would have "
                "trained them.",
                stacklevel=3,
            )
    return copied


def _held(model: MultiTaskModel, copied: list[Any], penalty: L2SP) -> Any:
    """Returns the model with its trunk held near where it is; heads are made once more."""
    weights = [v for layer in copied for v in layer.trainable_weights]
    trunk = held(model.trunk, weights, penalty.alpha)

    def renewed(layer: Any) -> Any:
        return trunk if layer.name == TRUNK else type(layer).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=renewed)


def _to_freeze(trunk: Any, copied: list[Any], freeze: Any) -> list[Any]:
    """Returns the layers that are left out of training."""
    if isinstance(freeze, bool):
        return copied if freeze else []
    names = [freeze] if isinstance(freeze, str) else list(freeze)
    return _of_stages(trunk, names, copied)


def _of_stages(trunk: Any, names: list[Any], copied: list[Any]) -> list[Any]:
    """Returns the layers of some stages that have weights of the source.

    Raises:
        ValueError: If the trunk has no such stage.
    """
    layers = units(trunk)
    stages = stages_of(trunk, layers)
    if not stages:
        raise ValueError(
            "reuse_trunk: freeze= names stages, and the trunk has none: it is a keras.Model. Freeze layers "
            "by model.trunk.get_layer(name).trainable = False."
        )
    for name in names:
        if name not in stages:
            raise unknown_name("stage", name, stages, "freeze= of reuse_trunk")
    having = {id(v) for layer in copied for v in layer.weights}
    found = [layer for name in names for layer in stages[name]]
    return [layer for layer in found if all(id(v) in having for v in layer.weights)]
