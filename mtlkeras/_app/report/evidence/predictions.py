"""What a model predicts for the examples that are looked at."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from mtlkeras._app.report.evidence.samples import Sample
from mtlkeras.analysis._examples import taken

BATCH = 64


def predictions(model: Any, sample: Sample) -> tuple[dict[str, np.ndarray], list[float]]:
    """Returns the outputs by task, and the milliseconds of each batch.

    All batches are of one size, the last one filled up with examples from the start: another size would be
    traced anew, which takes longer than to compute it.

    Args:
        model: A `MultiTaskModel`.
        sample: The examples.
    """
    size = min(BATCH, sample.examples)
    parts, times = [], []
    for start in range(0, sample.examples, size):
        rows = np.arange(start, start + size) % sample.examples
        batch = taken(sample.x, rows)
        began = time.perf_counter()
        outputs = model.predict_on_batch(batch)
        times.append(1000 * (time.perf_counter() - began))
        parts.append({task: np.asarray(v)[: sample.examples - start] for task, v in outputs.items()})
    return {task: np.concatenate([part[task] for part in parts]) for task in parts[0]}, times


def looked_at(sample: Sample | None, split: str = "test") -> str:
    """Returns in words which examples of a split were looked at; nothing without any."""
    if sample is None:
        return ""
    if sample.whole and sample.examples == 1:
        return f"the only example of the {split} split"
    if sample.whole:
        return f"all {sample.examples:,} examples of the {split} split"
    return f"{sample.examples:,} examples at equal distances in the {split} split"
