"""A recipe's tasks together and each alone: runs with the same trunk, data, budget and seeds."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe
from mtlkeras._app.report.tables import split_name
from mtlkeras._app.runs.folder import RunFolder, check_run_dir, create_run, is_run
from mtlkeras._app.runs.options import TrainOptions
from mtlkeras._app.runs.side_by_side import train_side_by_side
from mtlkeras._app.runs.train import prepare, train
from mtlkeras._errors import unknown_name
from mtlkeras.analysis import PairedDifference, jackknife_scores, paired_difference
from mtlkeras.tuning import count_flops
from mtlkeras.tuning._directions import log_directions

TOGETHER = "together"
"""Name of the runs that have all tasks; no task's, which begin with the task's name and `-alone`."""

_PARTS = 400
"""About how many parts the test split is taken apart into: enough for an interval."""


class Directed(NamedTuple):
    """A metric, and whether it is better when it is higher."""

    metric: str
    higher_is_better: bool


@dataclasses.dataclass(frozen=True)
class Compared:
    """One task, with the others and alone, on the test split.

    Args:
        task: The task.
        metric: The metric that the two are compared by.
        higher_is_better: Its direction.
        together: Its values by seed.
        alone: The same of the models of this task.
        difference: By how much the metric is better together, the mean over the seeds; over parts of the
            test split, see `mtlkeras.analysis.jackknife_scores`. `None` where it cannot be taken apart.
        parameters: Number of weights of the model alone.
        flops: Its floating-point operations for one example, where the backend counts them.
        seconds: What its training took, by seed.
    """

    task: str
    metric: str
    higher_is_better: bool
    together: list[float]
    alone: list[float]
    difference: PairedDifference | None
    parameters: int
    flops: int | None
    seconds: list[float]

    @property
    def changes(self) -> list[float]:
        """By seed, the change relative to the model alone, in percent; above zero it got better.

        NaN where there is none: against a score of 0, or of one that is NaN.
        """
        sign = 1.0 if self.higher_is_better else -1.0
        return [
            100 * sign * (one - other) / abs(other) if other else float("nan")
            for one, other in zip(self.together, self.alone, strict=True)
        ]


def baseline_folder(recipe: Recipe, run_dir: str | None, options: TrainOptions, seeds: int) -> RunFolder:
    """Returns the folder of a comparison: a new one, or the one in `run_dir` to go on with.

    Raises:
        FileExistsError: If `run_dir` holds something else.
        ValueError: If it holds a comparison that began with other options.
    """
    asked = {**options.to_config(), "data_dir": None, "seed": None}
    if run_dir is None or not is_run(Path(run_dir)):
        if run_dir is not None:
            check_run_dir(run_dir, overwrite=False)
        return create_run(recipe, run_dir, kind="-baseline", baseline=asked, seeds=seeds)
    run = RunFolder(run_dir)
    before = run.config.get("baseline")
    if before is None or run.config["recipe"] != recipe.name:
        raise FileExistsError(
            f"{run} holds no comparison of recipe '{recipe.name}'. Choose another --run-dir."
        )
    for name, value in asked.items():
        if before.get(name) != value:
            raise ValueError(
                f"The comparison in {run} began with {name}={before.get(name)!r} and cannot go on with "
                f"{value!r}. Leave it out, or choose another --run-dir."
            )
    return run


def metrics_of(recipe: Recipe, options: TrainOptions, chosen: Mapping[str, str]) -> dict[str, Directed]:
    """Returns by task the metric to compare by; nothing is written yet.

    Args:
        recipe: The recipe.
        options: How it is trained.
        chosen: Metrics by task; of the other tasks the first one of the head is taken.

    Raises:
        ValueError: If the recipe has a single task, or a task or metric is unknown.
        FileNotFoundError: If the data are not there.
    """
    model = prepare(recipe, options).model
    tasks = list(model.heads)
    if len(tasks) < 2:
        raise ValueError(f"Recipe '{recipe.name}' has one task, so there is nothing to compare.")
    for task in chosen:
        if task not in tasks:
            raise unknown_name("task", task, tasks, "--metric")
    ways = [(*split_name(name, tasks), way) for name, way in log_directions(model).items()]
    found = {}
    for task in tasks:
        own = {metric: way for of, metric, way in ways if of == task and way and metric != "loss"}
        own["loss"] = "min"
        name = chosen.get(task, next(iter(own)))
        if name not in own:
            raise unknown_name("metric", name, own, f"--metric of task '{task}'")
        found[task] = Directed(name, own[name] == "max")
    return found


def take_over(run: RunFolder, folder: RunFolder) -> None:
    """Takes a finished run into a comparison as that of all tasks."""
    path = folder.file(f"{TOGETHER}-{run.config['seed']}")
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(run.path, part, ignore=shutil.ignore_patterns("saved_model", "tensorboard"))
        part.rename(path)


class Trial(NamedTuple):
    """One training of a comparison: the name of its run, its seed, and the tasks if they are not all."""

    name: str
    seed: int
    tasks: list[str] | None

    def path(self, folder: RunFolder) -> Path:
        """Returns the folder of the run."""
        return folder.file(f"{self.name}-{self.seed}")


def train_all(
    recipe: Recipe,
    options: TrainOptions,
    tasks: Sequence[str],
    seeds: Sequence[int],
    folder: RunFolder,
    say: Callable[[str], None],
    workers: int = 1,
) -> None:
    """Trains what is not trained yet, a seed at a time, in so many processes side by side."""
    trials = [
        trial
        for seed in seeds
        for trial in (Trial(TOGETHER, seed, None), *(Trial(f"{task}-alone", seed, [task]) for task in tasks))
        if not _is_finished(trial.path(folder))
    ]
    if workers > 1:
        train_side_by_side(_train_in_a_process, recipe, options, folder, trials, workers, say)
        return
    for trial in trials:
        say(f"{trial.name}, seed {trial.seed}")
        _train(recipe, options, folder, trial, say if options.verbose else _nothing)


def _is_finished(path: Path) -> bool:
    return is_run(path) and RunFolder(path).config["status"] == "finished"


def _nothing(text: str) -> None:
    """Says nothing."""


def _train(
    recipe: Recipe, options: TrainOptions, folder: RunFolder, trial: Trial, say: Callable[[str], None]
) -> None:
    path = trial.path(folder)
    before = RunFolder(path) if is_run(path) else None
    asked = dataclasses.replace(
        options, seed=trial.seed, tasks=trial.tasks, run_dir=str(path), export=False, pictures=0
    )
    keras.utils.clear_session()
    job = prepare(recipe, asked if before is None else asked.continued(before))
    train(job, say, before)


def _train_in_a_process(file: Path, name: str, options: TrainOptions, folder: Path, trial: Trial) -> None:
    _train(Recipe(file, name), options, RunFolder(folder), trial, _nothing)


def compare(
    recipe: Recipe, folder: RunFolder, metrics: Mapping[str, Directed], seeds: Sequence[int]
) -> list[Compared]:
    """Returns each task's results on the test split, with the others and alone.

    Args:
        recipe: The recipe.
        folder: The comparison, all of whose runs are finished.
        metrics: Result of `metrics_of`.
        seeds: The seeds.
    """
    together = [RunFolder(folder.file(f"{TOGETHER}-{seed}")) for seed in seeds]
    whole = [_scores(recipe, run) for run in together]
    compared = []
    for task, directed in metrics.items():
        alone = [RunFolder(folder.file(f"{task}-alone-{seed}")) for seed in seeds]
        name = f"{task}_{directed.metric}"
        single = [_scores(recipe, run) for run in alone]
        compared.append(
            Compared(
                task,
                *directed,
                together=[_test_value(run, name) for run in together],
                alone=[_test_value(run, name) for run in alone],
                difference=_difference(whole, single, name, directed.higher_is_better),
                parameters=alone[0].config["parameters"],
                flops=flops_of(alone[0]),
                seconds=[run.config["seconds"] for run in alone],
            )
        )
    return compared


def flops_of(run: RunFolder) -> int | None:
    """Returns the floating-point operations of a run's model for one example.

    `None` where they are not counted: on JAX, and where the length of an input is not known.
    """
    keras.utils.clear_session()
    try:
        return count_flops(run.model())
    except ValueError:
        return None


def _test_value(run: RunFolder, name: str) -> float:
    return float(run.read_json("metrics.json")["test"][name])


def _difference(
    together: Sequence[Mapping[str, Any]], alone: Sequence[Mapping[str, Any]], name: str, up: bool
) -> PairedDifference | None:
    """Returns by how much a metric is better together, `None` where it cannot be taken apart or is NaN."""
    if not all(name in scores for scores in (*together, *alone)):
        return None
    one, other = (np.stack([scores[name] for scores in runs]) for runs in (together, alone))
    if np.isfinite([*one, *other]).all(axis=0).sum() < 2:
        return None  # As of a model that diverged: the other tasks are compared all the same.
    return paired_difference(one, other) if up else paired_difference(other, one)


def _scores(recipe: Recipe, run: RunFolder) -> dict[str, np.ndarray]:
    """Returns what the parts of the test split add to a run's metrics; it is kept in its folder."""
    file = run.file("test_parts.npz")
    if not file.exists():
        keras.utils.clear_session()
        config, model = run.config, run.model()
        hp, size = HyperParameters(config["settings"]), config["batch_size"]
        data = recipe.data("test", size, config["data_dir"], model, hp)
        count = int(data.cardinality()) if hasattr(data, "cardinality") else -1
        if count > 0:  # Where the data know how long they are.
            data = recipe.data("test", max(1, count * size // _PARTS), config["data_dir"], model, hp)
        part = file.with_name("test_parts.part.npz")
        scores: Any = jackknife_scores(model, data)
        np.savez(part, **scores)
        part.replace(file)
    with np.load(file) as found:
        return dict(found)
