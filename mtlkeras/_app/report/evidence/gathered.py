"""Everything that a report tells of a run, from its model, its data and what it logged."""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtlkeras._app.checks import RunFacts, run_checks
from mtlkeras._app.report.answers import answer_panels
from mtlkeras._app.report.diagram import diagram_of
from mtlkeras._app.report.evidence.attempts import Attempts
from mtlkeras._app.report.evidence.facts import facts_of, search_facts
from mtlkeras._app.report.evidence.labels import flat_labels, without_padding
from mtlkeras._app.report.evidence.predictions import BATCH, looked_at, predictions
from mtlkeras._app.report.evidence.run import RunEvidence, Size
from mtlkeras._app.report.evidence.samples import Sample, some_examples
from mtlkeras._app.report.evidence.task import directions, task_evidence
from mtlkeras._app.report.evidence.training import training_split
from mtlkeras._app.report.evidence.trunk import attention_of
from mtlkeras._app.report.gates import gate_maps
from mtlkeras.analysis import LabelAssociation, label_association
from mtlkeras.analysis._examples import taken
from mtlkeras.tuning import count_flops

_MOST_MILLISECONDS = 400.0
_MOST_COLUMNS = 60
_MOST_PLACES = 200_000


def gather(
    name: str,
    config: Mapping[str, Any],
    history: Mapping[str, Sequence[float]],
    metrics: Mapping[str, Mapping[str, float]],
    model: Any,
    data: Mapping[str, Any],
    file: Path | None = None,
    trials: Sequence[Any] = (),
) -> RunEvidence:
    """Looks at a run's model and data.

    Args:
        name: What to call the run.
        config: What was run, as in its `config.json`.
        history: Values per epoch.
        metrics: Results by split.
        model: The trained model.
        data: Batches of inputs and labels of the splits `"train"` and `"test"`, each if it is there.
        file: The model's file.
        trials: The trials of a search.

    Returns:
        What was found. A part that could not be made is told in `failures`, and the rest is there.
    """
    attempt = Attempts()
    sample = attempt("the test split", some_examples, model, data["test"]) if "test" in data else None
    train = attempt("the training split", training_split, model, data["train"]) if "train" in data else None
    predicted = attempt("predictions", _predicted, model, sample) if sample else None
    outputs, milliseconds = predicted or (None, {})
    found = {
        task: task_evidence(model, task, *way, sample, outputs, attempt)
        for task, way in directions(model).items()
    }
    search = attempt("what was searched", search_facts, config, trials)
    facts = attempt("facts", facts_of, model, found, history, metrics, sample, train, search) or RunFacts({})
    drawn = attempt("masks", answer_panels, model, sample.x, sample.y) if sample else None
    return RunEvidence(
        name,
        config,
        history,
        metrics,
        found,
        facts=facts,
        findings=attempt("checks", run_checks, facts) or (),
        looked_at=looked_at(sample),
        size=attempt("size and speed", _size, model, milliseconds, file),
        association=attempt("association of labels", _association, model, sample) if sample else None,
        gates=(attempt("gates", gate_maps, model, _few(sample.x, BATCH)) or ()) if sample else (),
        attention=(attempt("attention", attention_of, model, sample.x) or ()) if sample else (),
        pictures=drawn[0] if drawn else None,
        panels=drawn[1] if drawn else (),
        digest=attempt("digest of the labels", _digest, model, sample) if sample else None,
        trials=trials,
        diagram=attempt("the picture of the model", diagram_of, model),
        failures=attempt.failures,
    )


def _predicted(model: Any, sample: Sample) -> tuple[dict[str, np.ndarray], dict[int, float]]:
    """Returns the outputs by task, and the milliseconds of a prediction by number of examples."""
    outputs, times = predictions(model, sample)
    of_one = _milliseconds(model, taken(sample.x, np.arange(1)))
    # The first batch took the tracing, too.
    size = min(BATCH, sample.examples)
    return outputs, {1: of_one, **({size: statistics.median(times[1:])} if len(times) > 1 else {})}


def _few(x: Any, count: int) -> Any:
    return keras.tree.map_structure(lambda array: array[:count], x)


def _digest(model: Any, sample: Sample) -> str:
    """Returns a digest of the labels looked at, which two runs on the same data share."""
    found = hashlib.blake2b(digest_size=12)
    for task in sorted(sample.y):
        flat = flat_labels(model.heads[task], sample.y[task])
        found.update(np.ascontiguousarray(without_padding(flat)[0]).tobytes())
    return found.hexdigest()


def _association(model: Any, sample: Sample) -> LabelAssociation | None:
    """Returns how the labels of the tasks go together, of pixels some examples only; `None` for one label."""
    columns = sum(head.label_form.count if head.label_form.by_entry else 1 for head in model.heads.values())
    if columns < 2 or len(sample.y) < 1:
        return None
    if columns > _MOST_COLUMNS:
        raise ValueError(f"there are {columns} kinds of labels, which is more than {_MOST_COLUMNS}")
    rows = max(2, _MOST_PLACES // max(int(np.prod(labels.shape[1:])) for labels in sample.y.values()))
    return label_association({task: labels[:rows] for task, labels in sample.y.items()}, model)


def _size(model: Any, milliseconds: Mapping[int, float], file: Path | None) -> Size:
    trunk = getattr(model, "trunk", None)
    return Size(
        model.count_params(),
        None if trunk is None else trunk.count_params(),
        _flops(model),
        file.stat().st_size if file is not None and file.is_file() else None,
        milliseconds,
    )


def _flops(model: Any) -> int | None:
    """Returns the operations for one example; `None` where they cannot be counted."""
    inputs = keras.tree.flatten(model.input)
    if keras.backend.backend() != "tensorflow" or any(None in x.shape[1:] for x in inputs):
        return None
    return count_flops(model)


def _milliseconds(model: Any, batch: Any) -> float:
    model.predict_on_batch(batch)
    times: list[float] = []
    while len(times) < 5 and sum(times) < _MOST_MILLISECONDS:
        start = time.perf_counter()
        model.predict_on_batch(batch)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)
