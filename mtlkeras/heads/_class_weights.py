"""Weights of classes: given by index or name, or balanced from the labels of training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from mtlkeras._errors import near_match
from mtlkeras._types import ClassWeights, Tensor

BALANCED = "balanced"


def is_balanced(value: Any, argument: str) -> bool:
    """Returns whether weights are to be balanced.

    Raises:
        ValueError: If it is a text that says something else.
    """
    if isinstance(value, str) and value != BALANCED:
        raise ValueError(
            f"{argument} is '{value}': expected weights, or 'balanced'.{near_match(value, [BALANCED])}"
        )
    return isinstance(value, str)


def class_weight_vector(head: Any, class_weight: ClassWeights) -> np.ndarray:
    """Returns weights by class index.

    Args:
        head: A head with `num_classes` and `class_names`.
        class_weight: A dict by class index or name, classes not named weighing 1; or a weight for
            each class, in order. Numbers may be NumPy's.

    Raises:
        ValueError: If a class is unknown or a weight is negative or not finite.
    """
    count = head.num_classes
    if not isinstance(class_weight, Mapping):
        values = np.asarray(class_weight)
        if values.shape != (count,):
            raise ValueError(
                f"class_weight must be a dict by class, or {count} weights; received {class_weight!r}."
            )
        class_weight = dict(enumerate(values.tolist()))
    weights = np.ones(count, "float32")
    names = [] if head.class_names is None else list(head.class_names)
    for key, value in class_weight.items():
        index = _index(key, names)
        if index is None or not 0 <= index < count:
            classes = ", ".join(map(str, names)) or f"0 to {count - 1}"
            raise ValueError(f"class_weight names the class {key!r}; the classes are {classes}.")
        weights[index] = _weight(key, value)
    return weights


def check_class_weight(head: Any) -> None:
    """Raises `ValueError` unless a head's `class_weight` is one."""
    if head.class_weight is not None and not is_balanced(
        head.class_weight, f"{type(head).__name__}: class_weight"
    ):
        class_weight_vector(head, head.class_weight)


def class_weight_tensor(head: Any, class_weight: Any) -> Tensor:
    """Returns weights by class index as a tensor, from such or from what `class_weight_vector` takes."""
    if ops.is_tensor(class_weight):
        return class_weight
    return ops.convert_to_tensor(class_weight_vector(head, class_weight))


class WeighedClasses:
    """What heads with a `class_weight` by class have in common; comes before the head's base."""

    @property
    def balanced(self) -> int:
        """Number of classes if their weights are balanced, else 0."""
        count, weights = self.num_classes, self.class_weight  # type: ignore[attr-defined]
        return count if is_balanced(weights, "class_weight") else 0

    def class_weights(self, class_weight: ClassWeights) -> np.ndarray:
        """Returns one weight a class, float32; see `class_weight_vector`."""
        return class_weight_vector(self, class_weight)

    def weigh(self, values: Tensor, targets: Tensor, layer: Any) -> Tensor:
        """Returns losses times the weight of the label's class, if the head has such weights."""
        if self.class_weight is None:  # type: ignore[attr-defined]
            return values
        weights = layer.balanced_weights() if self.balanced else self.class_weight  # type: ignore[attr-defined]
        return values * self.weigh_classes(targets, weights)  # type: ignore[attr-defined]


def _index(key: Any, names: list[Any]) -> int | None:
    if key in names:
        return names.index(key)
    if isinstance(key, (bool, int, float, np.bool_, np.number)) and float(key).is_integer():
        return int(key)
    return None


def _weight(key: Any, value: Any) -> float:
    try:
        weight = float(value)
    except (TypeError, ValueError):
        weight = np.nan
    if not (np.isfinite(weight) and weight >= 0):
        raise ValueError(f"class_weight of class {key!r} must be finite and not negative; received {value}.")
    return weight


def count_classes(head: Any, y: Tensor, sample_weight: Tensor | None = None) -> np.ndarray:
    """Returns how many labels there are of each class.

    Args:
        head: A head with classes, or `MultiLabel`.
        y: Labels as the user gives them; those that are missing do not count.
        sample_weight: Weights of the examples or of the labels; at 0 a label counts as missing.

    Returns:
        Shape `(classes,)`; for `MultiLabel` two rows `(2, labels)`, of "no" and of "yes".
    """
    y = ops.convert_to_tensor(y)
    mask = head.labelled(y)
    targets, mask = (ops.convert_to_numpy(x) for x in (head.targets(y, mask), mask))
    if sample_weight is not None:
        weights = np.asarray(sample_weight)
        weights = weights.reshape(weights.shape + (1,) * (mask.ndim - weights.ndim))
        mask = mask & (weights.reshape(-1) != 0 if mask.ndim == 1 else weights != 0)
    if head.label_form.by_entry:
        return np.stack([(mask & (targets < 0.5)).sum(0), (mask & (targets >= 0.5)).sum(0)])
    if targets.ndim > mask.ndim:
        targets = targets.argmax(-1)
    return np.bincount(targets[mask], minlength=head.num_classes)


def weights_of_counts(counts: np.ndarray) -> np.ndarray:
    """Returns the balanced weights for a result of `count_classes`.

    n / (K n_c) for the n labels, n_c of which are of class c, and the K classes that occur: the
    formula of scikit-learn's `compute_class_weight`. So the weights' mean over the labels is 1.
    For two rows (no, yes) it is the weight of "yes" against that of "no", n_no / n_yes. What the
    labels do not have, and so cannot be balanced, weighs 1.
    """
    counts = np.asarray(counts, "float64")
    if counts.ndim == 2:
        both = (counts > 0).all(0)
        return np.where(both, counts[0] / np.maximum(counts[1], 1), 1.0).astype("float32")
    there = counts > 0
    even = counts.sum() / max(there.sum(), 1)
    return np.where(there, even / np.maximum(counts, 1), 1.0).astype("float32")


def balanced_class_weights(y: Tensor, head: Any, sample_weight: Tensor | None = None) -> dict[Any, float]:
    """Returns the class weights that `class_weight="balanced"` takes from labels.

    n / (K n_c) for the n labels, n_c of which are of class c, and the K classes that occur, as
    in scikit-learn; a class without labels weighs 1. For `MultiLabel`, whose "yes" is weighed
    by `positive_weight`, it is n_no / n_yes of each label.

    Args:
        y: Labels of one task as for `fit`; those that are missing do not count.
        head: The task's head.
        sample_weight: Weights of the examples; at 0 a label counts as missing.

    Returns:
        Weights by name of the class, or by index where the head has no names.

    Raises:
        ValueError: If the head has no classes.

    Example:

    ```python
    head = mtlkeras.heads.Classification(3, class_names=("cat", "dog", "fox"))
    weights = mtlkeras.data.balanced_class_weights([0, 0, 0, 1, 2, mtlkeras.MISSING], head)
    weights["dog"]  # 5 / (3 * 1)
    ```
    """
    if not can_balance(head):
        raise ValueError(f"{type(head).__name__} has no classes to balance.")
    weights = weights_of_counts(count_classes(head, y, sample_weight)).tolist()
    names = getattr(head, "label_names" if head.label_form.by_entry else "class_names", None)
    return dict(zip(range(len(weights)) if names is None else names, weights, strict=True))


def can_balance(head: Any) -> bool:
    """Returns whether a head has weights of classes."""
    return hasattr(head, "class_weight") or hasattr(head, "positive_weight")
