"""`MultiTaskModel`: a functional Keras model with one named output per task."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from mtlkeras._balancing.attached import attach, check_optimizer_knows, make_balancing, warn_of_accumulation
from mtlkeras._balancing.balancing import Balancing, warn_of_saved_balancer
from mtlkeras._keras_private import forget_layer, keep_layer
from mtlkeras._model import checks
from mtlkeras._model.adapting import adapt
from mtlkeras._model.answering import dependent_outputs, labels_of, predicted
from mtlkeras._model.gate_entropies import gate_entropies
from mtlkeras._model.labelled_calls import LabelledCalls
from mtlkeras._model.objective import TaskObjective
from mtlkeras._model.only_tasks import chosen_arguments
from mtlkeras._model.outputs import Outputs, dependence_layer, twin
from mtlkeras._model.pixel_inputs import check_pixels, model_inputs
from mtlkeras._model.task_metrics import MetricsOfTasks, TaskMetrics
from mtlkeras._types import (
    ArrayLike,
    Batches,
    Data,
    Labels,
    Loss,
    Metrics,
    Optimizer,
    PathLike,
    TaskDict,
    Tensor,
)
from mtlkeras.balancers import Balancer
from mtlkeras.dependence import Dependence
from mtlkeras.heads import Head
from mtlkeras.layers.output import TaskOutput
from mtlkeras.sharing.base import TRUNK


@keras.saving.register_keras_serializable("mtlkeras")
class MultiTaskModel(LabelledCalls):
    """A functional `keras.Model` whose output is a dict by task.

    Made by `mtlkeras.build_model`. It trains, saves and predicts as every Keras model does;
    on top of that each head brings its loss, metrics and weight, labels may be missing, and
    every key and label that is passed is checked by task.

    The joint objective is J = sum over tasks of weight x mean loss, plus the regularisers.
    A task's mean is over the examples of the whole batch that carry a label for it, over all
    replicas. Weights of examples and classes scale an example's loss, not the count.

    Example:

    ```python
    model = mtlkeras.build_model((8,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
    model.compile("adam")
    model.fit(np.zeros((4, 8)), {"y": np.array([1.0, 2.0, np.nan, 4.0])}, verbose=0)
    ```
    """

    @property
    def heads(self) -> dict[str, Head]:
        """The heads by task."""
        return {task: layer.head for task, layer in self.output_layers.items()}

    @property
    def output_layers(self) -> dict[str, TaskOutput]:
        """The last layer of each head, by task."""
        return {task: self.get_layer(task) for task in self.output}

    @property
    def trunk(self) -> keras.Model:
        """What the tasks share: freeze it, save it, or build another model on it.

        Raises:
            AttributeError: If they share nothing.
        """
        for layer in self.layers:
            if layer.name == TRUNK and isinstance(layer, keras.Model):
                return layer
        raise AttributeError(f"The tasks of the model '{self.name}' share no trunk.")

    @property
    def dependence(self) -> Dependence | None:
        """How the answers to some tasks depend on each other, if they do."""
        layer = dependence_layer(self)
        return None if layer is None else layer.dependence

    def compile(  # type: ignore[override]
        self,
        optimizer: Optimizer = "rmsprop",
        loss: TaskDict[Loss] | Sequence[Loss] | Loss | None = None,
        loss_weights: TaskDict[float] | Sequence[float] | None = None,
        metrics: TaskDict[Metrics] | Sequence[Metrics] | Metrics | None = None,
        weighted_metrics: TaskDict[Metrics] | Sequence[Metrics] | Metrics | None = None,
        joint_metrics: Sequence[keras.metrics.Metric] | keras.metrics.Metric | None = None,
        balancer: Balancer | None = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; every head already knows its loss, weight and metrics.

        Args:
            optimizer: As in Keras.
            loss: Losses by task that stand in for the heads' own.
            loss_weights: Loss weights by task that stand in for the heads' own.
            metrics: Metrics by task that stand in for the heads' own; a name, a Keras
                metric, or a list of them. They count labelled examples by sample weight.
            weighted_metrics: As `metrics`, in addition to them.
            joint_metrics: Metrics of several tasks at once, such as `mtlkeras.metrics.ExactMatch`.
            balancer: How much each task weighs in a training step, one of
                `mtlkeras.balancers`; loss weights scale the losses that it sees. `loss` and
                `val_loss` stay the sum that the loss weights alone give; the weights of the
                steps are logged as `<task>_weight`.
            **kwargs: As in Keras.

        Raises:
            ValueError: If an argument names an unknown task or metric, a weight is negative
                or not finite, two metrics would have the same name in the logs, or the balancer
                does not go with the model.
        """
        tasks = list(self.output)
        given = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        given, joint_metrics, balancer = chosen_arguments(given, joint_metrics, balancer, len(tasks))
        loss, loss_weights, metrics, weighted_metrics = given.values()
        losses = checks.by_task(loss, tasks, "loss")
        for task, value in losses.items():
            if value is None:
                raise ValueError(
                    f"loss of task '{task}' is None. Leave the task out for its head's own loss, or give it "
                    f"loss_weights={{'{task}': 0}}, so that its loss counts for nothing; weight decay and "
                    f"regularisers still change its head unless it is frozen by "
                    f"model.get_layer('{task}_logits').trainable = False before compile."
                )
        weights = _checked_weights(checks.by_task(loss_weights, tasks, "loss_weights"))
        chosen = checks.by_task(metrics, tasks, "metrics")
        added = checks.by_task(weighted_metrics, tasks, "weighted_metrics")
        objectives = {
            task: TaskObjective(task, layer, losses.get(task), weights.get(task, layer.head.loss_weight))
            for task, layer in self.output_layers.items()
        }
        metrics_of = MetricsOfTasks()
        with self._scope():
            task_metrics = {
                task: metrics_of.resolve(objective.view, chosen.get(task))
                + metrics_of.resolve(objective.view, added.get(task, ()))
                for task, objective in objectives.items()
            }
        joint = checks.joint_metrics(joint_metrics, self.heads)
        super().compile(optimizer=optimizer, **kwargs)
        with self._scope():
            own_loss = type(self).compute_loss is not MultiTaskModel.compute_loss
            self._set_balancing(make_balancing(balancer, self, own_loss))
            entropies = gate_entropies(self) if self.gives_scores else ()
            kept = TaskMetrics(
                objectives,
                task_metrics,
                joint,
                self.balancing is not None and self.balancing.balancer.weighs,
                dependence_layer(self),
                tuple(entropies),
            )
            # Past Keras' attribute tracking, which would list the container a second time.
            object.__setattr__(self, "_compile_metrics", kept)
        object.__setattr__(self, "_objectives", objectives)
        warn_of_accumulation(self.optimizer)
        task_config = {
            "loss": loss,
            "loss_weights": weights or None,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "joint_metrics": joint_metrics,
            "balancer": balancer,
        }
        # Past Keras' tracking, which would log the metrics in it a second time, without their task.
        object.__setattr__(self, "_task_config", task_config)

    def _set_balancing(self, balancing: Balancing | None) -> None:
        check_optimizer_knows(self.optimizer, balancing, self.balancing)
        attach(balancing, self)
        if self.balancing is not None:
            forget_layer(self, self.balancing)
        keep_layer(self, "balancing", balancing)

    @property
    def skip_non_finite(self) -> bool:
        """Whether a training step is undone if it ends with a loss or a weight of NaN or infinity.

        Set it after `compile`. Such a step leaves no trace in weights, optimizer and metrics, and
        is counted as `skipped_steps` in the logs of its epoch.
        """
        return getattr(self._compile_metrics, "skipped", None) is not None

    @skip_non_finite.setter
    def skip_non_finite(self, skip: bool) -> None:
        if skip == self.skip_non_finite:
            return
        if self._compile_metrics is None:
            raise ValueError("skip_non_finite is set after compile.")
        if skip:
            self._compile_metrics.count_skipped()
            if not self.optimizer.built:  # So that its variables can be put back from the first step on.
                self.optimizer.build(self.trainable_variables)
        else:
            self._compile_metrics.skipped = None
        self.train_function = None

    def watched_by_skipping(self) -> tuple[Any, list[Any]]:
        """Returns the counter of skipped steps, and the variables that must be finite after a step."""
        return self._compile_metrics.skipped, [self._compile_metrics.loss_sums, *self.trainable_variables]

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        if config and self.optimizer is not None and not self.optimizer.built:
            # Loading makes all of the optimizer's variables, so saving before a first step must too.
            self.optimizer.build(self.trainable_variables)
        if config:
            config.update(keras.saving.serialize_keras_object(dict(self._task_config)))
        return config

    def load_weights(self, filepath: PathLike, *args: Any, **kwargs: Any) -> None:
        """As in Keras; warns of what a balancer remembered that this model has no balancer for."""
        super().load_weights(filepath, *args, **kwargs)
        if self.balancing is None:
            warn_of_saved_balancer(filepath)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def adapt(self, y: Labels | Batches) -> None:
        """Sets the mean and scale of every `Regression` head from labels, and balanced class weights.

        Args:
            y: Labels by task as arrays, or a `tf.data.Dataset` as for `fit`. Missing labels
                do not count; a target whose labels are all equal keeps the scale 1.

        Raises:
            ValueError: If a regression task has no label at all.
        """
        adapt(self, y)

    def call(
        self, inputs: Any, training: Any = None, mask: Any = None, with_scores: bool = False, **kwargs: Any
    ) -> Any:
        """As in Keras.

        Args:
            inputs: The inputs.
            training: As in Keras.
            mask: As in Keras.
            with_scores: Whether to return a pair of dicts by task: the outputs, and what the tasks' output
                layers were called with.
            **kwargs: As in Keras.
        """
        check_pixels(self, inputs)  # For ways in that show what they bring only here.
        if not with_scores:
            return super().call(inputs, training=training, mask=mask, **kwargs)
        return self.scored.call(inputs, training=training, mask=mask, **kwargs)

    # Kept past Keras' attribute tracking, which would take its layers for more of the model's own.
    @functools.cached_property
    def scored(self) -> keras.Model:
        """The model of the same layers that gives the outputs and what is behind them."""
        return twin(self)

    @property
    def gives_scores(self) -> bool:
        """Whether the model can be called `with_scores`: not if its class has a `call` of its own."""
        return type(self).call is MultiTaskModel.call

    def outputs_for_loss(self, x: Data, training: bool = False) -> dict[str, Tensor]:
        """Returns the outputs for a batch, with what `compute_loss` needs to be exact.

        In a loop of the caller's own a loss of plain outputs, `compute_loss(y=y, y_pred=model(x))`, is that
        of rounded probabilities.

        Args:
            x: The inputs.
            training: As in Keras.

        Example:

        ```python
        model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Classification(3)})
        model.compile("adam")
        outputs = model.outputs_for_loss(np.ones((8, 4)), training=True)
        loss = model.compute_loss(y={"y": np.zeros(8, "int32")}, y_pred=outputs)
        ```
        """
        scores = {"with_scores": True} if self.gives_scores else {}
        return self.outputs_of(self(x, training=training, **scores))

    def outputs_of(self, result: Any) -> dict[str, Any]:
        """Returns the outputs by task for the result of a call, which may be one `with_scores`."""
        return Outputs(*result) if isinstance(result, tuple) else result

    def predict(self, x: Data, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; texts and tokens may also be lists or arrays of strings, pictures names of files.

        Arrays of no rows give outputs of no rows.

        Raises:
            ValueError: If a data set or generator has no batch.
        """
        return predicted(super().predict, model_inputs(self, x), *args, **kwargs)

    def predict_labels(
        self, x: Data, joint: bool = False, known: TaskDict[ArrayLike] | None = None, **kwargs: Any
    ) -> dict[str, np.ndarray]:
        """Returns what a person wants for each input, by task.

        Class names (or indices where the head has no names), tuples of the labels that
        hold, or numbers in label units.

        Args:
            x: Inputs, as for `predict`.
            joint: For tasks that depend on each other, whether to return the most probable answers
                together and not the most probable one of each.
            known: Of tasks that depend on each other, labels that are known, by task as for `fit`; the others
                are answered given these.
            **kwargs: As for `predict`.

        Raises:
            ValueError: If `joint` or `known` is given for a model without such tasks, or a known label does
                not fit.
        """
        if joint or known is not None:
            outputs = dependent_outputs(self, model_inputs(self, x), joint, known, **kwargs)
        else:
            outputs = self.predict(x, **kwargs)
        return {task: labels_of(layer, outputs[task]) for task, layer in self.output_layers.items()}

    def export(  # type: ignore[override]
        self,
        filepath: PathLike,
        format: str = "tf_saved_model",
        joint: bool = False,
        known: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        """Writes the model for serving, without need of any Python code of ours.

        Args:
            filepath: Where to write; it must not exist.
            format: `"tf_saved_model"` (default) with the endpoints `serve` (decoded
                answers) and `serve_raw` (the outputs), `"onnx"` or `"litert"` (the outputs).
            joint: For tasks that depend on each other, whether a SavedModel is also to have the endpoint
                `serve_joint`, for the most probable answers together.
            known: Tasks among these whose answers may be known: `serve_joint`, and the endpoint
                `serve_known` for the best answer to each task, take them as a second argument, a dict of
                int32 labels by task with -1 where one is not known.
            **kwargs: As for `keras.Model.export`.

        Raises:
            FileExistsError: If `filepath` exists.
            ValueError: For an unknown format, or if `joint` or `known` asks for what the model has not.
            ImportError: If a package that the format needs is not installed.
        """
        from mtlkeras._model.export import export_model

        export_model(self, filepath, format, super().export, joint, known, **kwargs)


def _checked_weights(weights: dict[str, Any]) -> dict[str, float]:
    for task, weight in weights.items():
        number = isinstance(weight, (int, float, np.number, np.ndarray)) and np.ndim(weight) == 0
        if not number or not np.isfinite(weight) or weight < 0:
            raise ValueError(
                f"loss_weights of task '{task}': expected a finite number, not negative; received {weight!r}."
            )
    return {task: float(weight) for task, weight in weights.items()}
