"""The joint objective of a model: what a batch's labels and outputs come to."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from mtlkeras._backends import Trainer, replica_count, sum_over_replicas
from mtlkeras._model import checks
from mtlkeras._model.outputs import answer, dependence_layer, dependent_scores
from mtlkeras._types import Labels, SampleWeights, TensorsByTask


class JointObjective(Trainer, keras.Model):
    """The part of `MultiTaskModel` that computes losses."""

    # A `mtlkeras._balancing.balancing.Balancing`, if `compile` was given a balancer.
    balancing: Any = None

    def compute_loss(
        self,
        x: Any = None,
        y: Labels | None = None,
        y_pred: TensorsByTask | None = None,
        sample_weight: SampleWeights | None = None,
        training: bool = True,
    ) -> Any:
        """Returns the joint objective of one batch.

        Args:
            x: The inputs; not used.
            y: Labels by task; a task that is not there adds zero.
            y_pred: Outputs by task, as of the model or of `outputs_for_loss`.
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
        self._compile_metrics.add_entropies(getattr(y_pred, "entropies", {}))
        return *self._weighted_means(sums, counts, training), regularization / replica_count()

    def look_at_losses(self, y: Any, y_pred: Any, sample_weight: Any) -> tuple[list[Any], Any, Any]:
        """Returns the first three of `task_losses`, and logs nothing."""
        return self._weighted_means(
            *self._loss_sums(self.labels_by_task(y), y_pred, sample_weight, training=True)
        )

    def _weighted_means(
        self, sums: list[Any], counts: Any, training: bool = True
    ) -> tuple[list[Any], Any, Any]:
        """Returns this replica's part of each task's weighted loss, the labels of all, and which count."""
        # The mean is over the whole batch, so each replica divides its own sum by the count of
        # all; the optimizer adds up the replicas' gradients.
        counts = sum_over_replicas(counts)
        weights = ops.convert_to_tensor([o.weight for o in self._objectives.values()], "float32")
        if training and self._compile_metrics.loss_factors is not None:
            weights = weights * ops.convert_to_tensor(self._compile_metrics.loss_factors)
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
        if not self.balancing.balancer.weighs:
            return {}
        return self._compile_metrics.add_weights(self.balancing.memory()["weights"])

    def _loss_sums(self, y: dict, y_pred: dict, sample_weight: Any, training: bool) -> tuple[list[Any], Any]:
        """Returns each task's sum of losses, and the counts of labelled examples, shape `(tasks,)`."""
        if not isinstance(sample_weight, dict):
            sample_weight = dict.fromkeys(y, sample_weight)
        class_weight = self._compile_metrics.class_weights if training else {}
        joint = self._joint_losses(y, y_pred)
        pairs = [
            objective.loss_sum(
                y[task],
                answer(y_pred, task),
                sample_weight.get(task),
                class_weight.get(task),
                joint.get(task),
            )
            if task in y
            else objective.no_labels(y_pred[task])
            for task, objective in self._objectives.items()
        ]
        sums, counts = zip(*pairs, strict=True)
        return list(sums), ops.stack(counts)

    def _joint_losses(self, y: dict, y_pred: dict) -> dict[str, Any]:
        """Returns the losses of the labels of tasks that depend on each other, shape `(batch,)` by task.

        Raises:
            ValueError: If the outputs came without their scores.
        """
        layer = dependence_layer(self)
        if layer is None:
            return {}
        scores = dependent_scores(layer, y_pred)
        known = {
            task: self._objectives[task].evidence(y[task], y_pred[task]) for task in layer.tasks if task in y
        }
        return layer.losses_by_task(scores, known)

    def labels_by_task(self, y: Any) -> dict[str, Any]:
        """Returns labels as a dict, without tasks that have none."""
        if y is None:
            raise no_labels(self)
        return {
            task: value
            for task, value in checks.by_task(y, self.output, "labels").items()
            if value is not None
        }

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        return super().compute_metrics(x, self.labels_by_task(y), y_pred, sample_weight)


def no_labels(model: Any) -> ValueError:
    """Returns the error for a step without labels."""
    return ValueError(f"No labels: pass y as a dict by task ({', '.join(model.output)}).")
