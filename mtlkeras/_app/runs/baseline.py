"""A recipe's tasks together and each alone: runs with the same trunk, data, budget and seeds."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mtlkeras._app.hyperparameters import HyperParameters
from mtlkeras._app.recipe import Recipe
from mtlkeras._app.report.tables import split_name
from mtlkeras._app.runs.folder import RunFolder, check_run_dir, create_run, is_run
from mtlkeras._app.runs.options import TrainOptions
from mtlkeras._app.runs.train import prepare, train
from mtlkeras._errors import unknown_name
from mtlkeras.analysis import PairedDifference, example_scores, paired_difference
from mtlkeras.tuning import count_flops
from mtlkeras.tuning._directions import log_directions

TOGETHER = "together"
"""Name of the runs that have all tasks; no task's, which begin with the task's name and `-alone`."""


@dataclasses.dataclass(frozen=True)
class Compared:
    """One task, with the others and alone, on the test split.

    Args:
        task: The task.
        metric: The metric that the two are compared by.
        higher_is_better: Its direction.
        together: Its values by seed.
        alone: The same of the models of this task.
        difference: Of the scores of single examples, the mean over the seeds; see
            `mtlkeras.analysis.example_scores`.
        parameters: Number of weights of the model alone.
        flops: Its floating-point operations for one example, where the backend counts them.
        seconds: What its training took, by seed.
    """

    task: str
    metric: str
    higher_is_better: bool
    together: list[float]
    alone: list[float]
    difference: PairedDifference
    parameters: int
    flops: int | None
    seconds: list[float]

    @property
    def changes(self) -> list[float]:
        """By seed, the change relative to the model alone, in percent; above zero it got better."""
        sign = 1.0 if self.higher_is_better else -1.0
        return [
            100 * sign * (one - other) / abs(other)
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


def take_over(run: RunFolder, folder: RunFolder) -> None:
    """Takes a finished run into a comparison as that of all tasks."""
    path = folder.file(f"{TOGETHER}-{run.config['seed']}")
    if not path.exists():
        part = path.with_name(f"{path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(run.path, part, ignore=shutil.ignore_patterns("saved_model", "tensorboard"))
        part.rename(path)


def train_all(
    recipe: Recipe, options: TrainOptions, seeds: Sequence[int], folder: RunFolder, say: Callable[[str], None]
) -> list[str]:
    """Trains what is not trained yet, a seed at a time; returns the tasks.

    Raises:
        ValueError: If the recipe has a single task.
    """
    tasks: list[str] = []
    for seed in seeds:
        first = _train(recipe, options, seed, folder, TOGETHER, None, say)
        tasks = first.config["tasks"]
        if len(tasks) < 2:
            raise ValueError(f"Recipe '{recipe.name}' has one task, so there is nothing to compare.")
        for task in tasks:
            _train(recipe, options, seed, folder, f"{task}-alone", [task], say)
    return tasks


def _train(
    recipe: Recipe,
    options: TrainOptions,
    seed: int,
    folder: RunFolder,
    name: str,
    tasks: list[str] | None,
    say: Callable[[str], None],
) -> RunFolder:
    path = folder.file(f"{name}-{seed}")
    before = RunFolder(path) if is_run(path) else None
    if before is not None and before.config["status"] == "finished":
        return before
    say(f"{name}, seed {seed}")
    asked = dataclasses.replace(options, seed=seed, tasks=tasks, run_dir=str(path), export=False)
    keras.utils.clear_session()
    job = prepare(recipe, asked if before is None else asked.continued(before))
    return train(job, say if options.verbose else lambda text: None, before)


def compare(
    recipe: Recipe, folder: RunFolder, tasks: Sequence[str], seeds: Sequence[int], metrics: Mapping[str, str]
) -> list[Compared]:
    """Returns each task's results on the test split, with the others and alone.

    Args:
        recipe: The recipe.
        folder: The comparison, all of whose runs are finished.
        tasks: The tasks.
        seeds: The seeds.
        metrics: By task the metric to compare by; by default the first of the head's.

    Raises:
        ValueError: If a task or a metric is unknown.
    """
    for task in metrics:
        if task not in tasks:
            raise unknown_name("task", task, tasks, "--metric")
    together = [RunFolder(folder.file(f"{TOGETHER}-{seed}")) for seed in seeds]
    whole = [_example_scores(recipe, run) for run in together]
    compared = []
    for task in tasks:
        alone = [RunFolder(folder.file(f"{task}-alone-{seed}")) for seed in seeds]
        compared.append(_compared(recipe, task, metrics.get(task), together, whole, alone))
    return compared


def _compared(
    recipe: Recipe,
    task: str,
    metric: str | None,
    together: Sequence[RunFolder],
    whole: Sequence[Mapping[str, np.ndarray]],
    alone: Sequence[RunFolder],
) -> Compared:
    directions = _directions(alone[0], task)
    if metric is not None and metric not in directions:
        raise unknown_name("metric", metric, directions, f"--metric of task '{task}'")
    metric = metric or next(iter(directions))
    single = [_example_scores(recipe, run)[task] for run in alone]
    configs = [run.config for run in alone]
    return Compared(
        task,
        metric,
        directions[metric] == "max",
        [_test_value(run, f"{task}_{metric}") for run in together],
        [_test_value(run, f"{task}_{metric}") for run in alone],
        paired_difference(np.stack([scores[task] for scores in whole]), np.stack(single)),
        configs[0]["parameters"],
        flops_of(alone[0]),
        [config["seconds"] for config in configs],
    )


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


def _directions(run: RunFolder, task: str) -> dict[str, str]:
    """Returns the directions of a task's metrics that have one, in the head's order; last the loss."""
    keras.utils.clear_session()
    ways = log_directions(run.model())
    of_head = {split_name(name, [task])[1]: way for name, way in ways.items() if name.startswith(f"{task}_")}
    return {**{name: way for name, way in of_head.items() if way and name != "loss"}, "loss": "min"}


def _example_scores(recipe: Recipe, run: RunFolder) -> dict[str, np.ndarray]:
    """Returns the scores of a run on the examples of the test split; they are kept in its folder."""
    file = run.file("test_scores.npz")
    if not file.exists():
        keras.utils.clear_session()
        config, model = run.config, run.model()
        hp = HyperParameters(config["settings"])
        data = recipe.data("test", config["batch_size"], config["data_dir"], model, hp)
        part = file.with_name("test_scores.part.npz")
        scores: Any = example_scores(model, data)
        np.savez(part, **scores)
        part.replace(file)
    with np.load(file) as found:
        return dict(found)
