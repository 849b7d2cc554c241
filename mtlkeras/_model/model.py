"""`MultiTaskModel`: a functional Keras model with one named output per task."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from mtlkeras._backends import Trainer, replica_count, sum_over_replicas
from mtlkeras._balancing.attached import attach, check_optimizer_knows, make_balancing, warn_of_accumulation
from mtlkeras._balancing.balancing import Balancing, warn_of_saved_balancer, with_epoch_start
from mtlkeras._errors import label_error
from mtlkeras._keras_private import forget_layer, keep_layer, strategy_of
from mtlkeras._missing import MISSING
from mtlkeras._model import checks, ways_in
from mtlkeras._model.class_balance import ClassBalance, balance_classes, set_class_weights
from mtlkeras._model.label_arrays import label_array
from mtlkeras._model.objective import TaskObjective
from mtlkeras._model.pixel_inputs import check_pixels, model_inputs
from mtlkeras._model.task_metrics import MetricsOfTasks, TaskMetrics
from mtlkeras.balancers import Balancer
from mtlkeras.heads import Head
from mtlkeras.layers.output import RegressionOutput, TaskOutput
from mtlkeras.sharing.base import TRUNK


@keras.saving.register_keras_serializable("mtlkeras")
class MultiTaskModel(Trainer, keras.Model):
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

    # What the model keeps of its balancer, a `mtlkeras._balancing.balancing.Balancing`, if it has one.
    balancing: Any = None

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

    def compile(  # type: ignore[override]
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        joint_metrics: Any = None,
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
            kept = TaskMetrics(objectives, task_metrics, joint, with_weights=balancer is not None)
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

    def _scope(self) -> Any:
        strategy = strategy_of(self)
        return strategy.scope() if strategy is not None else contextlib.nullcontext()

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        if config and self.optimizer is not None and not self.optimizer.built:
            # Loading makes all of the optimizer's variables, so saving before a first step must too.
            self.optimizer.build(self.trainable_variables)
        if config:
            config.update(keras.saving.serialize_keras_object(dict(self._task_config)))
        return config

    def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """As in Keras; warns of what a balancer remembered that this model has no balancer for."""
        super().load_weights(filepath, *args, **kwargs)
        if self.balancing is None:
            warn_of_saved_balancer(filepath)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the joint objective of one batch.

        Args:
            x: The inputs; not used.
            y: Labels by task; a task that is not there adds zero.
            y_pred: Outputs by task.
            sample_weight: Weights by task, or one tensor for all tasks.
            training: Whether class weights given to `fit` apply.

        Raises:
            ValueError: If there are no labels, or labels of an unknown task.
        """
        losses, counts, present, rest = self.task_losses(y, y_pred, sample_weight, training)
        losses = ops.stack(losses)
        if training and self.balancing is not None:
            return self.balancing.joint_loss(losses, counts, present) + rest
        return ops.sum(losses) + rest

    def task_losses(
        self, y: Any, y_pred: Any, sample_weight: Any, training: bool = True
    ) -> tuple[list[Any], Any, Any, Any]:
        """Returns this replica's part of each term of the joint objective, and logs them.

        Args:
            y: Labels by task.
            y_pred: Outputs by task.
            sample_weight: Weights by task, or one tensor for all tasks.
            training: Whether class weights given to `fit` apply.

        Returns:
            A list of the weighted losses, apart so that the gradient of one is that of no other; the
            labelled examples of the whole batch, and 1 for each task that counts in it, both of shape
            `(tasks,)`; last the regularisers' losses.
        """
        sums, counts = self._loss_sums(self.labels_by_task(y), y_pred, sample_weight, training)
        regularization = sum((ops.sum(ops.cast(r, "float32")) for r in self.losses), ops.zeros((), "float32"))
        logged = ops.stop_gradient(ops.stack(sums))
        self._compile_metrics.add_losses(logged, counts, ops.stop_gradient(regularization))
        return *self._weighted_means(sums, counts), regularization / replica_count()

    def look_at_losses(self, y: Any, y_pred: Any, sample_weight: Any) -> tuple[list[Any], Any, Any]:
        """Returns the first three of `task_losses`, and logs nothing."""
        return self._weighted_means(
            *self._loss_sums(self.labels_by_task(y), y_pred, sample_weight, training=True)
        )

    def _weighted_means(self, sums: list[Any], counts: Any) -> tuple[list[Any], Any, Any]:
        """Returns this replica's part of each task's weighted loss, the labels of all, and which count."""
        # The mean is over the whole batch, so each replica divides its own sum by the count of
        # all; the optimizer adds up the replicas' gradients.
        counts = sum_over_replicas(counts)
        weights = ops.convert_to_tensor([o.weight for o in self._objectives.values()], "float32")
        present = ops.cast(ops.logical_and(counts > 0, weights > 0), "float32")
        factors = ops.unstack(weights / ops.maximum(counts, 1.0), len(sums))
        return [value * factor for value, factor in zip(sums, factors, strict=True)], counts, present

    def balance_after_step(self, y: Any, y_pred: Any, sample_weight: Any, taken: Any) -> None:
        """Tells the balancer the losses of a batch after the update that it led to, if there was one."""
        losses, counts, present = self.look_at_losses(y, y_pred, sample_weight)
        self.balancing.after_step(sum_over_replicas(ops.stack(losses)), counts, present, taken)

    def begin_epoch(self) -> None:
        """Tells the balancer that an epoch begins.

        `fit` does so by itself. In a loop of `train_on_batch` some balancers depend on it: DWA weighs by
        the losses of the last two epochs, ExcessMTL has epochs of warm-up. Without a balancer it does
        nothing.

        Example:

        ```python
        model = mtlkeras.build_model((4,), mtlkeras.trunks.MLP(), {"y": mtlkeras.heads.Regression()})
        model.compile("adam", balancer=mtlkeras.balancers.DWA())
        for epoch in range(2):
            model.begin_epoch()
            for batch in range(3):
                model.train_on_batch(np.ones((8, 4)), {"y": np.ones(8)})
        ```
        """
        if self.balancing is not None:
            self.balancing.begin_epoch()

    def log_weights(self) -> dict[str, Any]:
        """Counts the weights of the step that ended; returns the epoch's means for the logs."""
        return self._compile_metrics.add_weights(self.balancing.memory()["weights"])

    def _loss_sums(self, y: dict, y_pred: dict, sample_weight: Any, training: bool) -> tuple[list[Any], Any]:
        """Returns each task's sum of losses, and the counts of labelled examples, shape `(tasks,)`."""
        if not isinstance(sample_weight, dict):
            sample_weight = dict.fromkeys(y, sample_weight)
        class_weight = self._compile_metrics.class_weights if training else {}
        pairs = [
            objective.loss_sum(y[task], y_pred[task], sample_weight.get(task), class_weight.get(task))
            if task in y
            else objective.no_labels(y_pred[task])
            for task, objective in self._objectives.items()
        ]
        sums, counts = zip(*pairs, strict=True)
        return list(sums), ops.stack(counts)

    def labels_by_task(self, y: Any) -> dict[str, Any]:
        """Returns labels as a dict, without tasks that have none."""
        if y is None:
            raise self._no_labels()
        return {
            task: value
            for task, value in checks.by_task(y, self.output, "labels").items()
            if value is not None
        }

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        return super().compute_metrics(x, self.labels_by_task(y), y_pred, sample_weight)

    def fit(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Trains the model; arguments as in Keras, but by task.

        Args:
            x: Inputs, as in Keras.
            y: Labels by task; a task may be left out, and single labels be missing.
            class_weight: Weights `{class index or name: weight}` by task, for training; or `"balanced"`,
                as of the head's field of that name, which evaluation and a saved model keep.
            sample_weight: Weights by task (a task left out weighs 1), or one array for all.
            **kwargs: As in Keras, like the other arguments.

        Returns:
            A `keras.callbacks.History` with `loss`, `<task>_loss`, `<task>_<metric>` and
            their `val_` twins.

        Raises:
            ValueError: If something names an unknown task, or a label is outside of what
                its head knows.
        """
        x, y, sample_weight = self._checked_data("train", x, y, sample_weight)
        if isinstance(validation_data, (tuple, list)):
            validation_data = self._checked_data("test", *validation_data)
        elif validation_data is not None:
            validation_data = self._checked_data("test", validation_data)[0]
        if hasattr(x, "element_spec"):
            shuffle = False  # A dataset shuffles itself; Keras would warn about its own default.
        with self._whole_after_errors():  # A data set checks its labels as it is passed over.
            class_weight = balance_classes(self, x, y, sample_weight, class_weight, validation_split)
        with (
            self._class_weights(class_weight),
            with_epoch_start(callbacks, self) as callbacks,
            self._whole_after_errors(),
        ):
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=shuffle,
                sample_weight=sample_weight,
                **kwargs,
            )

    def evaluate(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Returns loss and metrics; arguments as in Keras, labels and weights by task."""
        if not kwargs.get("_use_cached_eval_dataset"):
            x, y, sample_weight = self._checked_data("test", x, y, sample_weight)
        with self._whole_after_errors(), self._evaluating():
            return super().evaluate(
                x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, **kwargs
            )

    def train_on_batch(  # type: ignore[override]
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one batch; arguments as in Keras, labels and weights by task."""
        x, y, sample_weight = self._checked_data("train", x, y, sample_weight)
        with self._class_weights(class_weight), self._whole_after_errors():
            return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)

    def test_on_batch(  # type: ignore[override]
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Returns loss and metrics of one batch; arguments as in Keras, labels and weights by task."""
        x, y, sample_weight = self._checked_data("test", x, y, sample_weight)
        with self._whole_after_errors(), self._evaluating():
            return super().test_on_batch(x, y, sample_weight, return_dict=return_dict)

    def _evaluating(self) -> Any:
        kept = self._compile_metrics
        return contextlib.nullcontext() if kept is None else kept.evaluation()

    def _no_labels(self) -> ValueError:
        return ValueError(f"No labels: pass y as a dict by task ({', '.join(self.output)}).")

    def _checked_data(
        self, step: str, x: Any, y: Any = None, sample_weight: Any = None
    ) -> tuple[Any, Any, Any]:
        """Returns data for a step, `"train"` or `"test"`, whose labels and weights are checked."""
        x = model_inputs(self, x)
        if y is None:
            return ways_in.check_source(x, self.heads, functools.partial(self.see_ranks, step)), y, None
        y, sample_weight = ways_in.check_arrays(y, sample_weight, self.heads)
        if not y:
            raise self._no_labels()
        _check_rows(x, y)
        self.see_ranks(step, y, sample_weight)
        return x, y, sample_weight

    @contextlib.contextmanager
    def _class_weights(self, class_weight: Any) -> Any:
        """Sets the class weights of training steps, and ones after them."""
        weights = checks.class_weights(class_weight, self.heads)
        kept = self._compile_metrics
        if kept is None or not (weights or kept.class_weights):
            yield
            return
        with self._scope():
            if kept.set_class_weights(weights):
                self.train_function = None
        try:
            yield
        finally:
            kept.set_class_weights({})

    @contextlib.contextmanager
    def _whole_after_errors(self) -> Any:
        """Lets the next call find a model that works, and clears up what a pipeline's check raises."""
        if self.optimizer is not None and not self.optimizer.built:
            # A step that fails while it is traced would leave variables without values.
            with self._scope():
                self.optimizer.build(self.trainable_variables)
        try:
            yield
        except Exception as error:
            self.train_function = self.test_function = self.predict_function = None
            text = label_error(error)
            if text is None:
                raise
            raise ValueError(text) from None

    def adapt(self, y: Any) -> None:
        """Sets the mean and scale of every `Regression` head from labels, and balanced class weights.

        Args:
            y: Labels by task as arrays, or a `tf.data.Dataset` as for `fit`. Missing labels
                do not count; a target whose labels are all equal keeps the scale 1.

        Raises:
            ValueError: If a regression task has no label at all.
        """
        layers = {t: layer for t, layer in self.output_layers.items() if isinstance(layer, RegressionOutput)}
        batches = [y] if isinstance(y, dict) else (batch[1] for batch in y)
        seen: dict[str, list] = {task: [] for task in layers}
        balance = ClassBalance({task: head for task, head in self.heads.items() if head.balanced})
        for batch in batches:
            balance.add(batch)
            for task, layer in layers.items():
                if batch.get(task) is not None:
                    labels = label_array(task, layer.head, batch[task])
                    gone = labels == MISSING if labels.dtype.kind == "i" else np.isnan(labels)
                    seen[task].append(np.where(gone, np.nan, labels.astype("float64")))
        for task, layer in layers.items():
            layer.adapt(*_moments(task, seen[task]))
        set_class_weights(self, balance.weights())

    def call(self, inputs: Any, training: Any = None, mask: Any = None, **kwargs: Any) -> Any:
        check_pixels(self, inputs)  # For ways in that show what they bring only here.
        return super().call(inputs, training=training, mask=mask, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras; texts and tokens may also be lists or arrays of strings, pictures names of files.

        Arrays of no rows give outputs of no rows.

        Raises:
            ValueError: If a data set or generator has no batch.
        """
        x = model_inputs(self, x)
        arrays = keras.tree.flatten(x)
        if arrays and all(isinstance(a, np.ndarray) and not len(a) for a in arrays):
            one = keras.tree.map_structure(_one_row, x)
            return {task: value[:0] for task, value in super().predict(one, *args, **kwargs).items()}
        try:
            return super().predict(x, *args, **kwargs)
        except UnboundLocalError:
            raise ValueError("predict: the data set has no batch.") from None

    def predict_labels(self, x: Any, **kwargs: Any) -> dict[str, np.ndarray]:
        """Returns what a person wants for each input, by task.

        Class names (or indices where the head has no names), tuples of the labels that
        hold, or numbers in label units.

        Args:
            x: Inputs, as for `predict`.
            **kwargs: As for `predict`.
        """
        outputs = self.predict(x, **kwargs)
        labels = {}
        for task, layer in self.output_layers.items():
            rows = layer.head.one_length(outputs[task])
            # Nothing is the largest of no rows: decode one, and leave it out.
            some = rows if len(rows) else np.zeros((1, *rows.shape[1:]), rows.dtype)
            labels[task] = layer.head.labels(some, layer)[: len(rows)]
        return labels

    def export(self, filepath: Any, format: str = "tf_saved_model", **kwargs: Any) -> None:  # type: ignore[override]
        """Writes the model for serving, without need of any Python code of ours.

        Args:
            filepath: Where to write; it must not exist.
            format: `"tf_saved_model"` (default) with the endpoints `serve` (decoded
                answers) and `serve_raw` (the outputs), `"onnx"` or `"litert"` (the outputs).
            **kwargs: As for `keras.Model.export`.

        Raises:
            FileExistsError: If `filepath` exists.
            ValueError: For an unknown format.
            ImportError: If a package that the format needs is not installed.
        """
        from mtlkeras._model.export import export_model

        export_model(self, filepath, format, super().export, **kwargs)


def _checked_weights(weights: dict[str, Any]) -> dict[str, float]:
    for task, weight in weights.items():
        number = isinstance(weight, (int, float, np.number, np.ndarray)) and np.ndim(weight) == 0
        if not number or not np.isfinite(weight) or weight < 0:
            raise ValueError(
                f"loss_weights of task '{task}': expected a finite number, not negative; received {weight!r}."
            )
    return {task: float(weight) for task, weight in weights.items()}


def _moments(task: str, batches: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the scale of a task's labels, each shape `(targets,)`."""
    if not batches:
        raise ValueError(f"Cannot adapt task '{task}': the labels do not have it.")
    y = np.concatenate(batches)
    if np.isnan(y).all(axis=0).any():
        raise ValueError(f"Cannot adapt task '{task}': a target has no label.")
    mean, scale = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    # Equal labels have a deviation of rounding, and the scale 1.
    constant = scale <= 1e-7 * np.maximum(np.nanmax(np.abs(y), axis=0), 1e-30)
    return mean, np.where(constant, 1.0, scale)


def _one_row(array: np.ndarray) -> np.ndarray:
    """Returns one row of zeros in place of none."""
    return np.zeros((1, *(n or 1 for n in array.shape[1:])), array.dtype)


def _check_rows(x: Any, y: dict[str, Any]) -> None:
    """Raises `ValueError` for nothing to learn from, or labels of another number of examples than inputs."""
    rows = {len(a) for a in keras.tree.flatten(x) if len(getattr(a, "shape", ()))}
    if rows == {0}:
        raise ValueError("The inputs have no examples.")
    for task, labels in y.items():
        if len(rows) == 1 and len(labels) not in rows:
            raise ValueError(
                f"Labels of task '{task}': expected labels for {rows.pop()} examples, as many as there are "
                f"inputs; received {len(labels)}."
            )
