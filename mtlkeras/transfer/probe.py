"""Where along a trunk a head would read best: linear probes of its stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._model.builder import build_model
from mtlkeras._types import PathLike
from mtlkeras.features import Features
from mtlkeras.heads import Head
from mtlkeras.specs import spec
from mtlkeras.transfer._first_metric import first_metric
from mtlkeras.transfer._origin import Origin
from mtlkeras.transfer._stage_features import MASK, StageFeatures
from mtlkeras.trunks.base import Trunk


@dataclasses.dataclass(frozen=True)
class Probes:
    """Scores of linear probes by stage, from shallow to deep.

    Args:
        task: What was probed for.
        metric: The metric.
        scores: The scores by stage, on examples that the probes were not trained on.
        direction: `"up"` where more is better, `"down"` where less is.
        examples: How many examples the probes were trained and judged on.
    """

    task: str
    metric: str
    scores: Mapping[str, float]
    direction: str
    examples: tuple[int, int]

    @property
    def best(self) -> str:
        """The best stage, the first of those that are alike: `at=` of a head."""
        sign = 1 if self.direction == "up" else -1
        return max(
            self.scores, key=lambda stage: sign * np.nan_to_num(self.scores[stage], nan=-sign * np.inf)
        )

    def table(self) -> str:
        """Returns the scores as a table of Markdown, the best stage in bold."""
        rows = [
            f"| {f'**{stage}**' if stage == self.best else stage} | {score:.4f} |"
            for stage, score in self.scores.items()
        ]
        return "\n".join([f"| stage | {self.task}: {self.metric} |", "| --- | --- |", *rows])

    def plot(self, path: PathLike) -> None:
        """Draws the scores along the trunk; needs matplotlib.

        Args:
            path: Where to write the picture; its ending tells the format.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(max(4.0, 0.8 * len(self.scores)), 3.2), layout="constrained")
        axes = figure.add_subplot()
        stages, values = list(self.scores), list(self.scores.values())
        axes.plot(stages, values, marker="o", color="#1f5fa8")
        axes.plot([self.best], [self.scores[self.best]], marker="o", markersize=11, color="#b3410f", ls="")
        axes.annotate("best", (self.best, self.scores[self.best]), (0, 9), textcoords="offset points")
        axes.margins(y=0.2)
        axes.set_title(f"Linear probes for {self.task}")
        axes.set_xlabel("stage of the trunk, from shallow to deep")
        axes.set_ylabel(self.metric)
        axes.tick_params(axis="x", rotation=30)
        figure.savefig(path)


def probe(
    model: keras.Model | PathLike,
    data: Any,
    task: str | Head,
    stages: Sequence[str] | None = None,
    validation_split: float = 0.25,
    epochs: int = 20,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> Probes:
    """Scores every stage of a trained trunk for a task, by a linear head on what the stage gives.

    Alain and Bengio 2016, Understanding intermediate layers using linear classifier probes. The features are
    computed once, maps and sequences pooled where the head reads a vector, and standardised. The heads begin
    with kernels of zeros and train side by side by Adam, its rate falling to zero on a cosine; nothing of the
    model changes. Examples are divided at random into those that the probes learn from and those that they
    are scored on.

    Args:
        model: A trained `MultiTaskModel` under `HardSharing`, a trunk, or the path of a `.keras` file of
            either.
        data: `(x, y)` in arrays, or batches of these as in a `tf.data.Dataset`, of which all features are
            kept in memory. Labels may be missing; sample weights are passed over.
        task: A task of the model, whose head says what is learned; or a head for labels of another task,
            which are then `y` itself. Its first metric is the score.
        stages: Stages to look at; by default all. Of a trunk that is a `keras.Model`, names of layers.
        validation_split: Share of the examples that the probes are scored on, between 0 and 1.
        epochs: Epochs of the probes.
        batch_size: Of the features and the probes.
        learning_rate: The first of the probes.
        seed: Of the division.

    Returns:
        `Probes`: the scores, the best stage, a table and a picture.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the trunk has no stages or not those named, the task is unknown, its head reads maps,
            or there are too few examples.

    Example:

    ```python
    heads = {"y": mtlkeras.heads.Regression()}
    model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(depth=2, width=8), heads)
    x = np.random.default_rng(0).normal(size=(40, 4))
    kind = mtlkeras.heads.Classification(2)
    found = mtlkeras.transfer.probe(model, (x, (x[:, 0] > 0).astype(int)), kind, epochs=2)
    found.best  # 'hidden_1' or 'hidden_2'
    ```
    """
    origin = Origin(model, "probe")
    head = _head(origin.model, task)
    if not 0 < validation_split < 1:
        raise ValueError(f"probe: validation_split must be between 0 and 1; received {validation_split!r}.")
    features = StageFeatures(origin, head.kind, stages)
    values, labels = features.labelled(data, task if isinstance(task, str) else None, batch_size)
    train, held_out = _divided(len(labels), validation_split, seed)
    for rows, what in ((train, "learn from"), (held_out, "be scored on")):
        if not np.asarray(head.labelled(keras.ops.convert_to_tensor(labels[rows]))).any():
            raise ValueError(f"probe: none of the {len(rows)} examples to {what} has a label.")
    values = _standardized(values, train)
    probes = _probes(values, features.names, head)
    names = {f"stage_{n}": stage for n, stage in enumerate(features.names)}
    inputs = {f"x_{n}": v for n, v in _numbered(values, features.names)}
    (x, y), judged = (
        ({name: v[rows] for name, v in inputs.items()}, dict.fromkeys(names, labels[rows]))
        for rows in (train, held_out)
    )
    steps = epochs * -(-len(train) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)  # So that they come to rest.
    probes.compile(keras.optimizers.Adam(rate))
    probes.adapt(y)
    probes.fit(x, y, batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0)
    logs = probes.evaluate(*judged, batch_size=batch_size, return_dict=True, verbose=0)
    metric, direction = first_metric(probes, "stage_0", head, logs)
    return Probes(
        task if isinstance(task, str) else type(head).__name__,
        metric,
        {stage: float(logs[f"{name}_{metric}"]) for name, stage in names.items()},
        direction,
        (len(train), len(held_out)),
    )


@spec
class _Kept(Trunk):
    """Features that are there already: an input for each stage, which is its tap, and perhaps a mask."""

    def __call__(self, inputs: Any) -> Features:
        taps = {f"tap_{n.removeprefix('x_')}": x for n, x in inputs.items() if n != f"x_{MASK}"}
        return Features(taps=taps, mask=inputs.get(f"x_{MASK}"), source="the stages")


def _head(model: Any, task: Any) -> Head:
    """Returns the head of a probe: without layers of its own.

    Raises:
        ValueError: If the model has no such task, or the head reads maps.
    """
    if isinstance(task, str):
        heads = getattr(model, "heads", {})
        if task not in heads:
            raise unknown_name("task", task, heads, "probe")
        head = heads[task]
    elif isinstance(task, Head):
        head = task
    else:
        raise ValueError(f"probe: task must be a task of the model or a head; received {task!r}.")
    if head.kind not in ("vector", "sequence"):
        raise ValueError(
            f"probe: {type(head).__name__} reads a {head.kind}; probes are of heads that read a vector or a "
            "sequence."
        )
    return head.replace(hidden=(), dropout=0.0, after=(), loss_weight=1.0)


def _divided(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows to learn from and the rows to judge on, at random."""
    held_out = max(1, round(share * count))
    if count - held_out < 1:
        raise ValueError(f"probe: needs at least two examples; received {count}.")
    rows = np.random.default_rng(seed).permutation(count)
    return rows[held_out:], rows[:held_out]


def _standardized(values: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns features on the scale of some rows; of sequences where the mask is."""
    mask, found = values.get(MASK), {}
    for name, array in values.items():
        if name == MASK:
            found[name] = array
            continue
        seen = array[rows] if mask is None else array[rows][mask[rows]]
        seen = seen.reshape(-1, array.shape[-1])
        scale = seen.std(axis=0)
        found[name] = ((array - seen.mean(axis=0)) / np.where(scale > 1e-6, scale, 1.0)).astype("float32")
    return found


def _numbered(values: Mapping[str, np.ndarray], names: list[str]) -> list[tuple[Any, np.ndarray]]:
    """Returns features by the number of their stage, and the mask by its name."""
    found: list[tuple[Any, np.ndarray]] = [(n, values[stage]) for n, stage in enumerate(names)]
    return [*found, (MASK, values[MASK])] if MASK in values else found


def _probes(values: Mapping[str, np.ndarray], names: list[str], head: Head) -> Any:
    """Returns a model with a linear head on the features of each stage, all of zeros."""
    inputs = {
        f"x_{n}": keras.Input(v.shape[1:], dtype="bool" if n == MASK else "float32", name=f"x_{n}")
        for n, v in _numbered(values, names)
    }
    heads = {f"stage_{n}": head.replace(at=f"tap_{n}") for n in range(len(names))}
    model = build_model(inputs, _Kept(), heads)
    for task in heads:
        for variable in model.get_layer(f"{task}_logits").weights:
            variable.assign(np.zeros(variable.shape, "float32"))
    return model
