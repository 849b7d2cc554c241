"""How alike the trunks of several models see the same examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from mtlkeras._types import Data
from mtlkeras.analysis._trunk_features import Places
from mtlkeras.analysis.cka import cka
from mtlkeras.analysis.task_matrix import TaskMatrix

_NAME = "representation_similarity"


def representation_similarity(
    models: Mapping[str, keras.Model],
    x: Data,
    at: Sequence[str] | str | None = None,
    debiased: bool = True,
    batch_size: int = 32,
) -> dict[str, TaskMatrix]:
    """Compares what the trunks of several models make of the same examples, by linear CKA.

    Of single-task models with the same trunk, one for each task: tasks whose trunks see examples alike can
    share, and the places at which they still do tell how far. Some hundred examples are enough.

    Args:
        models: Models by name, such as that of their task; each with a trunk, or a functional `keras.Model`
            that is one.
        x: The examples, as for `predict`.
        at: Where to compare: taps of the trunk, its other layers, or `"end"` for what its heads read; one
            name or several. By default all taps that every model has, and the end. Maps have the mean over
            their pixels, sequences that over their tokens.
        debiased: Whether to take the unbiased estimate, as for `cka`.
        batch_size: As for `predict`.

    Returns:
        A symmetric matrix for each place, from shallow to deep.

    Raises:
        ValueError: If there are fewer than two models, one has no trunk or no such place, or all examples
            look the same to one.

    Example:

    ```python
    def model(task):
        trunk = mtlkeras.trunks.MLP(depth=2, width=8)
        return mtlkeras.build_model((4,), trunk, {task: mtlkeras.heads.Regression()})

    x = np.random.default_rng(0).normal(size=(64, 4))
    models = {task: model(task) for task in ("a", "b")}
    found = mtlkeras.analysis.representation_similarity(models, x)
    list(found)  # ['hidden_1', 'hidden_2', 'end']
    found["end"]["a", "b"]
    ```

    References:
        - Kornblith et al. 2019, Similarity of Neural Network Representations Revisited.
        - Dwivedi and Roig 2019, Representation Similarity Analysis for Efficient Task Taxonomy and Transfer
          Learning (tasks compared by trained models).
        - Vandenhende et al. 2020, Branched Multi-Task Networks: Deciding What Layers to Share (by depth).
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        received = [*models] if isinstance(models, Mapping) else type(models).__name__
        raise ValueError(f"{_NAME}: expected a dict of at least two models by name; received {received}.")
    of_models = {name: Places(model, f"{_NAME}, model '{name}'") for name, model in models.items()}
    chosen = [at] if isinstance(at, str) else list(at) if at is not None else _in_common(of_models)
    features = {name: places.features(x, chosen, batch_size=batch_size) for name, places in of_models.items()}
    return {
        place: _matrix({name: found[place] for name, found in features.items()}, place, debiased)
        for place in chosen
    }


def _in_common(of_models: Mapping[str, Places]) -> list[str]:
    first, *others = of_models.values()
    return [name for name in first.names if all(name in places.names for places in others)]


def _matrix(features: Mapping[str, np.ndarray], place: str, debiased: bool) -> TaskMatrix:
    for name, values in features.items():
        if len(values) < 4 or not np.isfinite(values).all() or not np.ptp(values, axis=0).any():
            raise ValueError(
                f"{_NAME}, model '{name}': expected finite features, not all alike, of at least 4 examples "
                f"at '{place}'; received those of {len(values)} examples."
            )
    names = tuple(features)
    matrix = np.eye(len(names))
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        matrix[i, j] = matrix[j, i] = cka(features[names[i]], features[names[j]], debiased)
    low = -1.0 if (matrix < 0).any() else 0.0
    return TaskMatrix(names, matrix, f"Similarity of representations (CKA), {place}", (low, 1.0))
