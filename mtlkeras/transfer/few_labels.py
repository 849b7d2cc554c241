"""How far a trained trunk carries a task that it was not trained for, by the number of labels."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._errors import unknown_name
from mtlkeras._types import PathLike
from mtlkeras.heads import Head
from mtlkeras.transfer._first_metric import first_metric
from mtlkeras.transfer.reuse_trunk import reuse_trunk

SCRATCH = "scratch"
WAYS = ("frozen", "trained")
_TASK = "held_out"
_COLOURS = ("#1f5fa8", "#b3410f", "#2d6e2f", "#5c5c5c", "#8a3ffc")


@dataclasses.dataclass(frozen=True)
class FewLabelsRun:
    """One training: how the trunk was used, how many labels, the seed, and the score."""

    way: str
    labels: int
    seed: int
    score: float


@dataclasses.dataclass(frozen=True)
class FewLabels:
    """Scores of a task by how the trunk was used and how many labels there were; made by `few_labels`.

    Args:
        metric: What the score is.
        direction: `"up"` where more is better, `"down"` where less is.
        runs: The trainings.
    """

    metric: str
    direction: str
    runs: tuple[FewLabelsRun, ...]

    @property
    def ways(self) -> tuple[str, ...]:
        """How the trunk was used, in the order of the trainings."""
        return tuple(dict.fromkeys(run.way for run in self.runs))

    def scores(self, way: str) -> dict[int, list[float]]:
        """Returns the scores of all seeds by number of labels.

        Raises:
            ValueError: If there is no such way.
        """
        if way not in self.ways:
            raise unknown_name("way", way, self.ways, "scores of FewLabels")
        found: dict[int, list[float]] = {}
        for run in self.runs:
            if run.way == way:
                found.setdefault(run.labels, []).append(run.score)
        return found

    def frame(self) -> dict[str, list[Any]]:
        """Returns a row for each training as columns by name, as `pandas` takes them."""
        names = [field.name for field in dataclasses.fields(FewLabelsRun)]
        return {name: [getattr(run, name) for run in self.runs] for name in names}

    def table(self) -> str:
        """Returns means over the seeds, with their standard deviation, as a table of Markdown."""
        counts = sorted({run.labels for run in self.runs})
        rows = [
            f"| {way} | {' | '.join(_with_spread(self.scores(way)[count]) for count in counts)} |"
            for way in self.ways
        ]
        header = f"| {self.metric}, labels: | {' | '.join(map(str, counts))} |"
        return "\n".join([header, "|" + " --- |" * (len(counts) + 1), *rows])

    def plot(self, path: PathLike) -> None:
        """Draws the curves, means with the range over the seeds; needs matplotlib.

        Args:
            path: Where to write the picture; its ending tells the format.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for way, colour, marker in zip(self.ways, itertools.cycle(_COLOURS), itertools.cycle("osD^v")):
            found = self.scores(way)
            means = [statistics.mean(values) for values in found.values()]
            axes.plot(list(found), means, color=colour, marker=marker, label=way)
            low, high = ([end(values) for values in found.values()] for end in (min, max))
            axes.fill_between(list(found), low, high, color=colour, alpha=0.15)
        axes.set_xscale("log")
        counts = sorted({run.labels for run in self.runs})
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_title("A task that is new to the trunk")
        axes.set_xlabel("labels")
        axes.set_ylabel(self.metric)
        axes.legend()
        figure.savefig(path)


def few_labels(
    sources: keras.Model | PathLike | Mapping[str, keras.Model | PathLike],
    head: Head,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    counts: Sequence[int | None] = (10, 100, 1000, None),
    ways: Sequence[str] = WAYS,
    seeds: Sequence[int] = (0,),
    steps: int = 400,
    batch_size: int = 32,
    learning_rate: float = 0.002,
) -> FewLabels:
    """Measures generalisation across tasks: a held-out task on trained trunks, over numbers of labels.

    For each number of labels and each seed the same examples are drawn for all ways, those for fewer labels
    among those for more, classes in turn where the labels are classes. Each training takes as many steps of
    Adam, its rate falling to zero on a cosine, and is scored after the last: nothing is chosen on the test
    split.

    Args:
        sources: A trained model whose trunk is tried, or several by name, such as that of all other tasks
            together and those of single tasks; paths of `.keras` files as well.
        head: The head of the held-out task. Its first metric is the score.
        train: `(x, y)` in arrays, `y` the labels of the task alone, as the head takes them. Examples without
            a label are not drawn.
        test: The same for the scores.
        counts: Numbers of labels; `None` for all there are.
        ways: `"frozen"`: the head alone is trained, on the trunk as it is; `"trained"`: both are. A model
            like the first source whose weights are drawn anew is always there, as `"scratch"`.
        seeds: Of the draws, and of the heads.
        steps: Steps of each training at least; whole passes over its examples are made.
        batch_size: Examples of a step.
        learning_rate: The first.

    Returns:
        `FewLabels`: the scores, a table, and curves. With several sources a way is `"name, frozen"`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no source, way, seed or number of labels, a way is unknown, a number is below
            1 or above what there is, or the data are not pairs of arrays.

    Example:

    ```python
    import numpy as np
    from mtlkeras.heads import Classification, Regression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 4)).astype("float32")
    trained = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"size": Regression()})
    trained.compile("adam")
    trained.fit(x, {"size": x.sum(1)}, verbose=0)
    held_out = (x[:64], (x[:64].sum(1) > 0).astype(int)), (x[64:], (x[64:].sum(1) > 0).astype(int))
    found = mtlkeras.transfer.few_labels(trained, Classification(2), *held_out, counts=(10,), steps=4)
    print(found.table())
    ```
    """
    named = dict(sources) if isinstance(sources, Mapping) else {"": sources}
    _check(named, head, ways, seeds, (steps, batch_size))
    (x, y), judged = (_arrays(data, name, head) for data, name in ((train, "train"), (test, "test")))
    sizes = _sizes(counts, len(_known(head, y)))
    trials = [(source, way) for source in named for way in dict.fromkeys(ways)]
    trials.append((next(iter(named)), SCRATCH))
    runs, told = [], ("loss", "down")
    for seed in seeds:
        order = _drawn(head, y, seed)
        for size, (source, way) in itertools.product(sizes, trials):
            rows = order[:size]
            labelled = keras.tree.map_structure(lambda v, rows=rows: v[rows], x), {_TASK: y[rows]}
            keras.utils.set_random_seed(int(seed))
            model = _model(named[source], head, way)
            logs = _trained(model, labelled, judged, steps, batch_size, learning_rate)
            told = first_metric(model, _TASK, head, logs)
            name = f"{source}, {way}" if source and way != SCRATCH else way
            runs.append(FewLabelsRun(name, size, int(seed), float(logs[f"{_TASK}_{told[0]}"])))
    return FewLabels(*told, tuple(runs))


def _check(named: Any, head: Any, ways: Any, seeds: Any, numbers: tuple[int, int]) -> None:
    if not isinstance(head, Head):
        raise ValueError(f"few_labels: expected a head of mtlkeras.heads; received {head!r}.")
    for what, values in (("source", named), ("way", ways), ("seed", seeds)):
        if not len(values):
            raise ValueError(f"few_labels: expected at least one {what}; received {values!r}.")
    if isinstance(ways, str):
        raise ValueError(
            f"few_labels: ways must be a tuple of names, such as ('frozen',); received {ways!r}."
        )
    for way in ways:
        if way not in WAYS:
            raise unknown_name("way", way, WAYS, "ways= of few_labels")
    for name, number in zip(("steps", "batch_size"), numbers, strict=True):
        if number < 1:
            raise ValueError(f"few_labels: {name} must be at least 1; received {number}.")


def _arrays(data: Any, name: str, head: Head) -> tuple[Any, np.ndarray]:
    """Returns inputs and labels as arrays.

    Raises:
        ValueError: If they are no pair, or the labels are those of several tasks, of another length, no
            numbers, or all missing.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise ValueError(
            f"few_labels: {name} must be (x, y) in arrays, as mtlkeras.data.to_arrays makes them of a data "
            f"set; received {type(data).__name__}."
        )
    x, y = data
    if isinstance(y, Mapping):
        if len(y) != 1:
            raise ValueError(f"few_labels: {name} must have the labels of one task; received {list(y)}.")
        (y,) = y.values()
    if all(np.ndim(leaf) == 0 for leaf in keras.tree.flatten(x)):
        x = np.asarray(x)  # Lists of numbers are rows, and not a structure.
    x, y = keras.tree.map_structure(np.asarray, x), np.asarray(y)
    if y.dtype.kind not in "biuf":
        raise ValueError(f"few_labels: the labels of {name} must be numbers, classes as their index.")
    for values in keras.tree.flatten(x):
        if len(values) != len(y):
            raise ValueError(f"few_labels: {name} has {len(values)} inputs and {len(y)} labels.")
    if not len(_known(head, y)):
        raise ValueError(f"few_labels: no example of {name} has a label.")
    return x, y


def _known(head: Head, y: np.ndarray) -> np.ndarray:
    """Returns the rows that have a label."""
    known = keras.ops.convert_to_numpy(head.labelled(keras.ops.convert_to_tensor(y)))
    return np.flatnonzero(known.reshape(len(y), -1).any(axis=1)) if len(y) else np.arange(0)


def _sizes(counts: Sequence[int | None], there: int) -> list[int]:
    """Returns the numbers of labels, from few to many.

    Raises:
        ValueError: If there is none, or one is below 1 or above what there is.
    """
    if not len(counts):
        raise ValueError("few_labels: expected at least one number of labels in counts.")
    sizes = sorted({there if count is None else int(count) for count in counts})
    for size in sizes:
        if not 1 <= size <= there:
            raise ValueError(
                f"few_labels: counts asks for {size} labels; {there} examples of train have one. None in "
                f"place of a number is all of them."
            )
    return sizes


def _drawn(head: Head, y: np.ndarray, seed: int) -> np.ndarray:
    """Returns rows with a label in random order; where labels are classes, one of each class in turn."""
    rows = np.random.default_rng(seed).permutation(_known(head, y))
    labels = y[rows].reshape(len(rows), -1)
    if head.label_form.are_numbers or labels.shape[1] != 1:
        return rows
    _, classes = np.unique(labels[:, 0], return_inverse=True)
    turns = np.zeros(len(rows), int)
    for c in range(classes.max(initial=-1) + 1):
        turns[classes == c] = np.arange((classes == c).sum())
    return rows[np.argsort(turns, kind="stable")]


def _model(source: Any, head: Head, way: str) -> Any:
    """Returns a new head on the trunk of a source, or on one like it."""
    if way != SCRATCH:
        return reuse_trunk(source, {_TASK: head}, freeze=way == "frozen")
    return keras.models.clone_model(reuse_trunk(source, {_TASK: head}))


def _trained(
    model: Any, labelled: tuple[Any, Any], judged: tuple[Any, Any], steps: int, size: int, rate: float
) -> dict[str, float]:
    """Trains; returns the results on the test split."""
    y = labelled[1][_TASK]
    per_epoch = -(-len(y) // size)
    epochs = -(-steps // per_epoch)
    decay = keras.optimizers.schedules.CosineDecay(rate, epochs * per_epoch)
    model.compile(keras.optimizers.Adam(decay, global_clipnorm=5.0))
    model.adapt(labelled[1])
    model.fit(*labelled, batch_size=size, epochs=epochs, verbose=0)
    return model.evaluate(judged[0], {_TASK: judged[1]}, batch_size=256, return_dict=True, verbose=0)


def _with_spread(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.3f}"
    return f"{mean} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean
