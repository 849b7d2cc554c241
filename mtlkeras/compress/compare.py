"""Two models side by side: what they cost and how well they do."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras._fields import whole_number
from mtlkeras._model.labelled_batches import check_data
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._types import Data
from mtlkeras.compress._checks import check_model
from mtlkeras.compress._size import flops_by_layer
from mtlkeras.compress._timing import check_batch, latencies

Pair = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What two models cost and how well they do; as text a table in Markdown.

    Args:
        rows: Pairs of numbers, of the first model and the second, by what they are.

    Example:

    >>> print(mtlkeras.compress.Comparison({"weights": (200, 50)}))
    | | before | after | after / before |
    | --- | --- | --- | --- |
    | weights | 200 | 50 | 0.25 |
    """

    rows: Mapping[str, Pair]

    def __getitem__(self, name: str) -> Pair:
        if name not in self.rows:
            raise unknown_name("row", name, self.rows, "the comparison")
        return self.rows[name]

    def __str__(self) -> str:
        lines = ["| | before | after | after / before |", "| --- | --- | --- | --- |"]
        for name, (before, after) in self.rows.items():
            ratio = f"{after / before:.3g}" if before else ""
            lines.append(f"| {name} | {_shown(before)} | {_shown(after)} | {ratio} |")
        return "\n".join(lines)


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def compare(
    before: MultiTaskModel, after: MultiTaskModel, x: Data, data: Any = None, rounds: int = 20
) -> Comparison:
    """Returns what two models of the same tasks cost, and how well they do, beside each other.

    Args:
        before: A `MultiTaskModel`.
        after: Another, such as the first one pruned or factorised.
        x: A batch of inputs as arrays, for the latency.
        data: For scores: `(inputs, labels)` or a data set with labels; both models must be compiled.
        rounds: How many predictions of each the latency is the median of; the models take turns.

    Returns:
        The rows `"weights"`; `"flops"` (of `flops_by_layer`, if these can be counted); `"latency_ms"`, the
        median time of `predict_on_batch`; `"file_bytes"` of the `.keras` file without the state of an
        optimizer; and all that `evaluate` tells of `data`.

    Raises:
        ValueError: If the models have other tasks, `x` is no batch of inputs, or one model is not compiled
            for scores.

    Example:

    ```python
    heads = {"y": mtlkeras.heads.Regression()}
    large, small = (mtlkeras.build_model((4,), mtlkeras.trunks.MLP(width=n), heads) for n in (64, 8))
    table = mtlkeras.compress.compare(large, small, np.ones((8, 4)))
    print(table)
    ```
    """
    models = (before, after)
    for model in models:
        check_model(model, "compare")
    if set(before.output) != set(after.output):
        raise ValueError(
            f"compare: the models have other tasks: {', '.join(before.output)} and {', '.join(after.output)}."
        )
    whole_number("compare", "rounds", rounds)
    for model in models:
        check_batch(model, x, "compare")
    _check_scores(models, data)
    rows: dict[str, Pair] = {"weights": _pair(model.count_params() for model in models)}
    try:
        rows["flops"] = _pair(sum(flops_by_layer(model).values()) for model in models)
    except ValueError:  # Of a size that is not known.
        pass
    rows["latency_ms"] = _pair(latencies(models, x, rounds))
    rows["file_bytes"] = _pair(_file_size(model) for model in models)
    return Comparison({**rows, **({} if data is None else _scores(models, data))})


def _pair(values: Iterable[float]) -> Pair:
    before, after = values
    return before, after


def _file_size(model: Any) -> int:
    """Returns the bytes of the file of a model that is not compiled."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        type(model).from_config(model.get_config()).save(path)
        return os.path.getsize(path)


def _check_scores(models: Iterable[Any], data: Any) -> None:
    """Checks that both models have scores for data, before what takes its time."""
    if data is None:
        return
    for model in models:
        if not model.compiled:
            raise ValueError(f"compare: the model '{model.name}' is not compiled, so data= has no scores.")
    check_data(data, "compare")
    if isinstance(data, Iterator):
        raise ValueError(
            "compare: each model reads data= from its start, which a generator has no more; give arrays or a "
            "data set."
        )


def _scores(models: Iterable[Any], data: Any) -> dict[str, Pair]:
    arguments = dict(zip(("x", "y", "sample_weight"), data, strict=False)) if _is_pair(data) else {"x": data}
    logs = []
    for model in models:
        logs.append(model.evaluate(**arguments, verbose=0, return_dict=True))
    return {name: (logs[0][name], logs[1][name]) for name in logs[0] if name in logs[1]}


def _is_pair(data: Any) -> bool:
    return isinstance(data, (tuple, list))
