"""What a report tells of a run, as plain values that its sections are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtlkeras._app.checks import Finding, RunFacts
from mtlkeras._app.report.answers import Panel
from mtlkeras._app.report.diagram import Diagram
from mtlkeras._app.report.gates import HeatMap
from mtlkeras.analysis import Calibration, Confusion, LabelAssociation, WorstErrors


@dataclass(frozen=True)
class Numbers:
    """Labels and answers of a task of numbers, of some examples.

    Args:
        labels: The labels.
        answers: The answers.
    """

    labels: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True)
class TaskEvidence:
    """What is known of a task on the test split.

    Args:
        head: Name of its head.
        metric: The metric that tells how good it is, without the task's name.
        higher_is_better: Its direction.
        labels: Labels in a row, as `mtlkeras._app.checks.TaskFacts` has them.
        answers: The model's answers in the same form.
        confusions: Confusions by name: the task's own, or one for each of its labels.
        calibration: Confidence and accuracy, if it has classes.
        numbers: Labels and answers by name, if it has numbers.
        worst: The examples of the largest loss.
        transitions: Names of tags and the weights between them, if it has a chain over steps.
    """

    head: str
    metric: str
    higher_is_better: bool
    labels: np.ndarray | None = None
    answers: np.ndarray | None = None
    confusions: Mapping[str, Confusion] = field(default_factory=dict)
    calibration: Calibration | None = None
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    worst: WorstErrors | None = None
    transitions: tuple[Sequence[str], np.ndarray] | None = None


@dataclass(frozen=True)
class Attention:
    """What the trunk of a model looks at.

    Args:
        layer: Name of the layer.
        weights: Weights of the steps, `(examples, steps)`, or of one step for another, `(steps, steps)`.
        tokens: The steps by example.
    """

    layer: str
    weights: np.ndarray
    tokens: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Size:
    """How large and fast a model is.

    Args:
        weights: All its weights.
        shared: Those of the shared trunk, if there is one.
        flops: Operations for one example, where they are counted.
        file: Bytes of the model's file, if there is one.
        milliseconds: Of a prediction, by the number of examples.
    """

    weights: int
    shared: int | None = None
    flops: int | None = None
    file: int | None = None
    milliseconds: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RunEvidence:
    """What is known of a run.

    Args:
        name: Name of its folder.
        config: What was run, as in its `config.json`.
        history: Values per epoch, as `fit` gives them; empty for a search.
        metrics: Results by split, as `evaluate` gives them; empty if the run is not finished.
        tasks: What is known of each task.
        looked_at: In words, what the pictures are of.
        facts: The same for the checks.
        findings: What the checks found.
        size: How large and fast the model is.
        association: How the labels go together.
        gates: What gates and stitches mix.
        attention: What the trunk looks at.
        pictures: Inputs that answers for pixels are shown of, `(examples, height, width, channels)`.
        panels: These answers.
        digest: Of the test split's labels, to tell whether two runs have the same.
        trials: The trials of a search.
        diagram: What is drawn of the model.
        failures: What could not be made.
    """

    name: str
    config: Mapping[str, Any]
    history: Mapping[str, Sequence[float]]
    metrics: Mapping[str, Mapping[str, float]]
    tasks: Mapping[str, TaskEvidence]
    facts: RunFacts
    findings: Sequence[Finding] = ()
    looked_at: str = ""
    size: Size | None = None
    association: LabelAssociation | None = None
    gates: Sequence[HeatMap] = ()
    attention: Sequence[Attention] = ()
    pictures: np.ndarray | None = None
    panels: Sequence[Panel] = ()
    digest: str | None = None
    trials: Sequence[Any] = ()
    diagram: Diagram | None = None
    failures: Sequence[str] = ()
