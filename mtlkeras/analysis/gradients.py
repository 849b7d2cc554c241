"""Whether the tasks of a model pull its shared layers the same way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._backends import task_gradients
from mtlkeras._balancing.graph import shared_layers
from mtlkeras._keras_private import all_layers
from mtlkeras._model.labelled_batches import labelled_batches
from mtlkeras._model.parts import Parts
from mtlkeras.analysis.task_matrix import TaskMatrix


@dataclasses.dataclass(frozen=True)
class TaskGradients:
    """Norms and cosines of the gradients of tasks on one batch, by part of the shared layers.

    Args:
        tasks: The tasks, in the order of all axes.
        losses: The tasks' losses times their loss weights, `(tasks,)`; NaN without labels.
        norms: By part, the L2 norms of the gradients, `(tasks,)`; NaN without labels.
        cosines: By part, the cosines of each two gradients; NaN where one has no labels or is zero. Negative
            ones are tasks that stand in each other's way there.
    """

    tasks: tuple[str, ...]
    losses: np.ndarray
    norms: Mapping[str, np.ndarray]
    cosines: Mapping[str, TaskMatrix]

    @property
    def shares(self) -> dict[str, float]:
        """By task, the share of its gradient in the sum of the norms, from 0 to 1; NaN without labels."""
        norms = self.norms["all"]
        total = np.nansum(norms)
        shares = norms / total if total > 0 else np.full_like(norms, np.nan)
        return dict(zip(self.tasks, shares.tolist(), strict=True))


class GradientProbe:
    """Computes the gradients of a model's tasks on a batch, again and again while it trains.

    Args:
        model: A compiled `MultiTaskModel` whose tasks share trainable layers.
        data: `(x, y)`, `(x, y, sample_weight)`, or a data set, of which the first batch is taken.

    Raises:
        ValueError: If the model is not compiled, its tasks share no trainable layer, or the data do not fit.
    """

    def __init__(self, model: Any, data: Any) -> None:
        if not getattr(model, "compiled", False):
            raise ValueError(f"The gradients of '{model.name}' are those of its losses: compile it first.")
        self.model = model
        first = next(labelled_batches(model, data, "gradients of tasks"), None)
        if first is None:
            raise ValueError("gradients of tasks: the data have no batch.")
        self.batch = first
        self.parts = shared_parts(model)
        self.variables = [v for part in self.parts.values() for v in part]
        self._compute = task_gradients(model, self.variables)

    def gradients(self) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Returns losses, which tasks have labels, and the gradients of all tasks by variable."""
        losses, present, found = self._compute(*self.batch)
        to_numpy = keras.ops.convert_to_numpy
        return to_numpy(losses), to_numpy(present) > 0, found

    def look(self) -> TaskGradients:
        """Returns norms and cosines of the gradients as the model is now."""
        losses, present, found = self.gradients()
        grams: dict[str, np.ndarray] = {}
        start = 0
        for name, variables in self.parts.items():
            grams[name] = np.sum([_products(g) for g in found[start : start + len(variables)]], axis=0)
            start += len(variables)
        grams["all"] = np.sum(list(grams.values()), axis=0)
        unknown = np.where(present, 0.0, np.nan)
        norms = {name: np.sqrt(np.diag(gram)) + unknown for name, gram in grams.items()}
        tasks = tuple(self.model.heads)
        cosines = {
            name: TaskMatrix(
                tasks, _cosines(grams[name], norms[name]), f"Cosines of gradients: {name}", limits=(-1.0, 1.0)
            )
            for name in grams
        }
        return TaskGradients(tasks, losses + unknown, norms, cosines)


def shared_parts(model: Any) -> dict[str, list[Any]]:
    """Returns the trainable variables that several tasks share, by stage of the trunk.

    Those of no stage are under `"rest"`.

    Raises:
        ValueError: If there are none.
    """
    shared = {
        id(v): v
        for layer in shared_layers(model)
        for inner in all_layers(layer)
        for v in inner.trainable_variables
    }
    if not shared:
        raise ValueError(f"The tasks of the model '{model.name}' share no trainable layer.")
    parts: dict[str, list[Any]] = {}
    for name, layers in Parts(model).stages.items():
        found = {id(v): v for layer in layers for v in layer.trainable_variables}
        own = [shared.pop(key) for key in found if key in shared]
        if own:
            parts[name] = own
    return {**parts, **({"rest": list(shared.values())} if shared else {})}


def gradient_cosines(model: Any, data: Any) -> TaskGradients:
    """Returns whether the gradients of tasks agree, by stage of the trunk, on one batch.

    Tasks whose gradients have a negative cosine conflict: a step for one raises the loss of the other (Yu et
    al. 2020, PCGrad, definition 1). Layers answer as in inference, so that nothing is drawn.

    Args:
        model: A compiled `MultiTaskModel` whose tasks share trainable layers.
        data: `(x, y)`, `(x, y, sample_weight)`, or a data set, of which the first batch is taken. Labels may
            be missing.

    Returns:
        The losses, and by stage, and under `"all"` for all shared layers together, norms and cosines.

    Raises:
        ValueError: If the model is not compiled, its tasks share no trainable layer, or the data do not fit.

    Example:

    ```python
    heads = {"a": mtlkeras.heads.Regression(), "b": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(depth=2), heads)
    model.compile("adam")
    x, y = np.random.rand(32, 8), np.random.rand(32)
    mtlkeras.analysis.gradient_cosines(model, (x, {"a": y, "b": y})).cosines["all"]["a", "b"]
    ```
    """
    return GradientProbe(model, data).look()


def _products(gradients: Any) -> np.ndarray:
    rows = np.asarray(keras.ops.convert_to_numpy(gradients), "float64")
    rows = rows.reshape(len(rows), -1)
    return rows @ rows.T


def _cosines(gram: np.ndarray, norms: np.ndarray) -> np.ndarray:
    known = norms > 0  # Not where it is NaN.
    scale = np.where(known, norms, 1.0)
    cosines = np.clip(gram / np.outer(scale, scale), -1.0, 1.0)
    return np.where(np.outer(known, known), cosines, np.nan)
