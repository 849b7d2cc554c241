"""The metrics that a model keeps for its tasks, named in full and exact over an epoch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import CompileMetrics, direction_of
from mtlkeras._model.given_functions import GivenMetric, TaskView
from mtlkeras._model.joint_answers import JointAnswers
from mtlkeras._model.metric_updates import label_weights, update_with_weights
from mtlkeras._model.objective import TaskObjective
from mtlkeras._model.outputs import Outputs
from mtlkeras.dependence.base import DependentScores

# Metrics of heads in which a label that is none of the classes counts as a wrong answer.
_OF_RIGHT_AND_WRONG = ("accuracy", "top_5_accuracy")


class TaskMetric(NamedTuple):
    """One metric of a task: its name in the logs without the task, and how it is fed.

    `given` is `None` for a metric of the head's own.
    """

    name: str
    metric: keras.metrics.Metric
    given: GivenMetric | None


class MetricsOfTasks:
    """Turns what `compile` and heads name as metrics into metrics of one task each.

    A metric object belongs to one task: given to a second one, or by a head's spec, which may serve
    several models, it is copied by its config.
    """

    def __init__(self) -> None:
        self._taken: set[int] = set()

    def resolve(self, view: TaskView, identifiers: Any) -> list[TaskMetric]:
        """Returns the metrics of a task.

        Args:
            view: The task.
            identifiers: A name, a `keras.metrics.Metric`, a function of labels and outputs, or a list of
                these; `None` for the head's default. The head's `metric_names` go before names known to
                Keras.

        Raises:
            ValueError: For an unknown name, and for a metric that does not go with the task.
        """
        head = view.head
        if identifiers is None:
            given = head.default_metrics if head.metrics is None else head.metrics
            return [self._resolve(view, _copied(metric, view.task)) for metric in given]
        if not isinstance(identifiers, (list, tuple)):
            identifiers = [identifiers]
        return [self._resolve(view, identifier) for identifier in identifiers]

    def _resolve(self, view: TaskView, identifier: Any) -> TaskMetric:
        head = view.head
        if isinstance(identifier, str) and identifier in head.metric_names:
            with _made_in_float32():
                return TaskMetric(str(identifier), head.metric(identifier), None)
        try:
            with _made_in_float32():
                metric = keras.metrics.get(identifier)
        except ValueError:
            metric = None
        if metric is None:
            raise unknown_name(
                "metric",
                identifier,
                head.metric_names,
                f"metrics of {type(head).__name__}, task '{view.task}'",
            )
        name = str(identifier) if isinstance(identifier, str) else None
        if not isinstance(metric, keras.metrics.Metric):
            name_of_function = getattr(metric, "__name__", "metric")
            metric = keras.metrics.MeanMetricWrapper(metric, name=name_of_function, dtype="float32")
        if id(metric) in self._taken:
            metric = _copied(metric, view.task)
        self._taken.add(id(metric))
        if type(metric).__module__.startswith("mtlkeras."):
            return TaskMetric(name or metric.name, metric, None)
        return TaskMetric(name or metric.name, metric, GivenMetric(view, metric))


@contextlib.contextmanager
def _made_in_float32() -> Iterator[None]:
    """Makes metrics count in float32, whatever Keras' `floatx`: a half counts to 2048."""
    floatx = keras.config.floatx()
    keras.config.set_floatx("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)


def _copied(metric: Any, task: str) -> Any:
    """Returns a metric of its own for a task; names and functions as they are."""
    if not isinstance(metric, keras.metrics.Metric):
        return metric
    try:
        return type(metric).from_config(metric.get_config())
    except Exception as error:
        raise ValueError(
            f"metrics of task '{task}': {metric!r} is used more than once, and its get_config does not allow "
            f"to copy it. Make one for each task."
        ) from error


class TaskMetrics(CompileMetrics):
    """Loss and metrics of every task, as `<task>_loss` and `<task>_<metric>`.

    Losses are exact means over the labelled examples of an epoch; `loss` is the joint
    objective made of them. Metrics count labelled examples only, by their sample weight.

    Args:
        objectives: The tasks' objectives by name.
        metrics: The tasks' metrics by task, from `MetricsOfTasks`.
        joint: Metrics of several tasks at once, such as `mtlkeras.metrics.ExactMatch`.
        with_weights: Whether a balancer gives the tasks weights, to be logged as `<task>_weight`.
        dependence: The layer in which the scores of several tasks meet, if there is one.
        entropies: Names of the gates' entropies that are to be logged.

    Raises:
        ValueError: If two metrics would have the same full name.
    """

    _dependence: DependentScores | None

    def __init__(
        self,
        objectives: Mapping[str, TaskObjective],
        metrics: Mapping[str, list[TaskMetric]],
        joint: Sequence[Any] = (),
        with_weights: bool = False,
        dependence: DependentScores | None = None,
        entropies: Sequence[str] = (),
    ) -> None:
        super().__init__(None, None)
        # Past Keras' attribute tracking: its weights are the model's.
        object.__setattr__(self, "_dependence", dependence)
        self._objectives = objectives
        self._joint = list(joint)
        self._entries = [(objectives[task], entry) for task, entries in metrics.items() for entry in entries]
        self._names = [f"{task}_loss" for task in objectives]
        self._names += [f"{objective.task}_{entry.name}" for objective, entry in self._entries]
        self._names += [metric.name for metric in self._joint]
        weight_names = [f"{task}_weight" for task in objectives] if with_weights else []
        _check_unique([*self._names, *weight_names, *entropies])
        # One row a task and one for the regularisers: the sum so far and what it counts. In
        # one variable, since each variable's update costs as much as a small layer.
        self._sums = self.add_variable(
            (2, len(objectives) + 1), initializer="zeros", dtype="float32", name="loss_sums"
        )
        self.skipped: Any = None
        # By task the class weights of the fit under way, shape `(classes,)`; ones between fits.
        self.class_weights: dict[str, Any] = {}
        # What the tasks' losses count in training beside their weights, shape `(tasks,)`, if that changes.
        self.loss_factors: Any = None
        # Sums of the weights over an epoch's steps, and last the number of these steps.
        self._weights: Any = None
        self._shows_weights = with_weights
        self._entropies = tuple(entropies)
        # Sums of the examples' entropies, and last the number of examples.
        self._entropy_sums: Any = None
        if entropies:
            self._entropy_sums = self.add_variable(
                (len(entropies) + 1,), initializer="zeros", dtype="float32", name="entropy_sums"
            )
        if with_weights:
            self._weights = self.add_variable(
                (len(objectives) + 1,),
                initializer="zeros",
                dtype="float32",
                aggregation="only_first_replica",
                name="weights",
            )

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Leaves the weights out of the results, since an evaluation has none."""
        before, self._shows_weights = self._shows_weights, False
        try:
            yield
        finally:
            self._shows_weights = before

    def add_weights(self, weights: Any) -> dict[str, Any]:
        """Adds a training step's weights, shape `(tasks,)`; returns the means of the epoch by name."""
        weights = ops.cast(weights, "float32")
        self._weights.assign_add(ops.concatenate([weights, ops.ones((1,), "float32")]))
        return self._mean_weights()

    def _mean_weights(self) -> dict[str, Any]:
        if not self._shows_weights:
            return {}
        sums = ops.convert_to_tensor(self._weights)
        means = ops.unstack(ops.divide_no_nan(sums[:-1], sums[-1]), len(self._objectives))
        return {f"{task}_weight": mean for task, mean in zip(self._objectives, means, strict=True)}

    def add_entropies(self, entropies: Mapping[str, Any]) -> None:
        """Adds one step's entropies of gates by name, shape `(batch,)`; plain outputs bring none."""
        if self._entropies and entropies:
            values = ops.stack([ops.cast(entropies[name], "float32") for name in self._entropies])
            sums = ops.sum(ops.stop_gradient(values), axis=1)
            count = ops.cast(ops.shape(values)[1], "float32")
            self._entropy_sums.assign_add(ops.concatenate([sums, ops.reshape(count, (1,))]))

    def _mean_entropies(self) -> dict[str, Any]:
        if not self._entropies:
            return {}
        sums = ops.convert_to_tensor(self._entropy_sums)
        return dict(
            zip(self._entropies, ops.unstack(sums[:-1] / sums[-1], len(self._entropies)), strict=True)
        )

    def set_class_weights(self, weights: Mapping[str, Any]) -> bool:
        """Sets the class weights of the coming training steps.

        They are values of variables, so that steps need not be traced anew for each fit.

        Args:
            weights: By task one weight a class; the other tasks' classes weigh 1.

        Returns:
            Whether there is a new variable, which the steps traced so far do not know.
        """
        new = [task for task in weights if task not in self.class_weights]
        for task in new:
            self.class_weights[task] = self.add_variable(
                weights[task].shape,
                initializer="ones",
                dtype="float32",
                aggregation="only_first_replica",
                name=f"{task}_class_weights",
            )
        for task, variable in self.class_weights.items():
            variable.assign(weights[task] if task in weights else ops.ones(variable.shape, variable.dtype))
        return bool(new)

    def set_loss_factors(self, factors: Sequence[float]) -> bool:
        """Sets by what the tasks' loss weights are multiplied in the coming training steps.

        They are values of a variable, so that steps need not be traced anew when they change.

        Args:
            factors: One for each task; what is logged stays as it is without.

        Returns:
            Whether there is a new variable, which the steps traced so far do not know.
        """
        new = self.loss_factors is None
        if new:
            self.loss_factors = self.add_variable(
                (len(self._objectives),),
                initializer="ones",
                dtype="float32",
                aggregation="only_first_replica",
                name="loss_factors",
            )
        self.loss_factors.assign(ops.convert_to_tensor(list(factors), "float32"))
        return new

    def count_skipped(self) -> None:
        """Adds `skipped_steps` to the logs: the training steps of an epoch that were undone."""
        if self.skipped is None:
            self.skipped = self.add_variable((), initializer="zeros", dtype="float32", name="skipped_steps")

    def names_of(self, task: str) -> list[str]:
        """Returns the names in the logs of a task's loss and metrics."""
        own = [entry.name for objective, entry in self._entries if objective.task == task]
        return [f"{task}_{name}" for name in ("loss", *own)]

    @property
    def loss_sums(self) -> Any:
        """The variable that every step's losses go into."""
        return self._sums

    @property
    def metrics(self) -> list[NamedMetric]:
        metrics = [None] * len(self._objectives) + [entry.metric for _, entry in self._entries]
        metrics += self._joint
        return [NamedMetric(name, metric) for name, metric in zip(self._names, metrics, strict=True)]

    @property
    def variables(self) -> list[Any]:
        own = [v for v in (self._sums, self.skipped, self._weights, self._entropy_sums) if v is not None]
        own += self.class_weights.values()
        own += [] if self.loss_factors is None else [self.loss_factors]
        kept = [entry.metric for _, entry in self._entries] + self._joint
        return own + [v for metric in kept for v in metric.variables]

    def add_losses(self, sums: Any, counts: Any, regularization: Any) -> None:
        """Adds one step's losses.

        Args:
            sums: Sum of each task's losses over its labelled examples, shape `(tasks,)`.
            counts: Number of labelled examples of each task, shape `(tasks,)`.
            regularization: Sum of the regularisers' losses, a scalar.
        """
        sums = ops.concatenate([sums, ops.reshape(regularization, (1,))])
        counts = ops.concatenate([counts, ops.ones((1,), "float32")])
        self._sums.assign_add(ops.stack([sums, counts]))

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Marks the metrics as built: the first update has made their variables."""
        self.built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels: dict[str, tuple] = {}
        judged: dict[str, tuple] = {}
        answers: dict[str, Any] = {}
        for objective, entry in self._entries:
            task = objective.task
            if task not in y_true:
                continue
            outputs = objective.head.in_a_row(y_pred[task], 1)
            if task not in labels:
                found = objective.labels(y_true[task], outputs)
                labels[task] = found[0], label_weights(objective, found[1], sample_weight)
                found = objective.judged(y_true[task], outputs, *found)
                judged[task] = found[0], label_weights(objective, found[1], sample_weight)
            right_or_wrong = entry.given is None and entry.name in _OF_RIGHT_AND_WRONG
            targets, weights = (judged if right_or_wrong else labels)[task]
            if entry.given is not None:
                entry.given.update(targets, outputs, weights)
                continue
            if task not in answers:  # Which may be the result of a search, and is made once.
                answers[task] = objective.head.metric_outputs(outputs, objective.layer)
            given = [objective.head.metric_targets(targets), answers[task], weights]
            if getattr(entry.metric, "of_pictures", False):
                given = [objective.head.in_pictures(values, y_pred[task]) for values in given]
            update_with_weights(entry.metric, *given)
        joint = JointAnswers(self._objectives, self._dependence, y_true, y_pred)
        # What Keras builds metrics with on JAX has no scores; those that take them have their variables.
        scores = self.built or isinstance(y_pred, Outputs)
        for metric in self._joint:
            if scores or getattr(metric, "takes", "answers") == "answers":
                joint.update(metric)
        self.build(y_true, y_pred)

    def reset_state(self) -> None:
        self._sums.assign(ops.zeros(self._sums.shape, "float32"))
        if self.skipped is not None:
            self.skipped.assign(0.0)
        for metric in [entry.metric for _, entry in self._entries] + self._joint:
            metric.reset_state()
        for sums in (self._weights, self._entropy_sums):
            if sums is not None:
                sums.assign(ops.zeros(sums.shape, "float32"))

    def result(self) -> dict[str, Any]:
        sums = ops.convert_to_tensor(self._sums)
        means = ops.divide_no_nan(sums[0], sums[1])
        weights = ops.convert_to_tensor([o.weight for o in self._objectives.values()] + [1.0], "float32")
        values = ops.unstack(means, len(self._objectives) + 1)[:-1]
        values += [_in_float32(entry.metric.result()) for _, entry in self._entries]
        values += [_in_float32(metric.result()) for metric in self._joint]
        skipped = {} if self.skipped is None else {"skipped_steps": self.skipped + 0.0}
        results = {"loss": ops.sum(means * weights), **dict(zip(self._names, values, strict=True))}
        return {**results, **skipped, **self._mean_weights(), **self._mean_entropies()}


class NamedMetric:
    """A metric (or, with `None`, a task's loss) under its full name, as callbacks look for it."""

    def __init__(self, name: str, metric: Any) -> None:
        self.name = name
        if metric is None:
            self._direction = "down"
            return
        direction = direction_of(metric)
        if direction is not None:
            self._direction = direction


def _check_unique(names: list[str]) -> None:
    taken = {"loss"}
    for name in names:
        for twin in (name, f"val_{name}"):
            if twin in taken:
                raise ValueError(
                    f"Two metrics would be logged as '{twin}'. Rename a task or one of its metrics."
                )
            taken.add(twin)


def _in_float32(value: Any) -> Any:
    return ops.cast(value, "float32") if hasattr(value, "dtype") else value
