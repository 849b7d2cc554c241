"""The calls of Keras that take labels: each checks them, and leaves a model that works after an error."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

import keras

from mtlkeras._errors import label_error
from mtlkeras._keras_private import strategy_of
from mtlkeras._model import checks, ways_in
from mtlkeras._model.batch_statistics import warn_of_batch_statistics
from mtlkeras._model.class_balance import balance_classes
from mtlkeras._model.fit_callbacks import fit_callbacks, with_callbacks
from mtlkeras._model.joint_objective import JointObjective, no_labels
from mtlkeras._model.pixel_inputs import model_inputs
from mtlkeras._types import ArrayLike, ClassWeights, Data, Labels, SampleWeights, TaskDict


class LabelledCalls(JointObjective):
    """The part of `MultiTaskModel` that trains and evaluates, each task's labels and weights checked."""

    def fit(  # type: ignore[override]
        self,
        x: Data | None = None,
        y: Labels | ArrayLike | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[keras.callbacks.Callback] | keras.callbacks.Callback | None = None,
        validation_split: float = 0.0,
        validation_data: tuple[Any, ...] | Data | None = None,
        shuffle: bool = True,
        class_weight: TaskDict[ClassWeights] | ClassWeights | None = None,
        sample_weight: SampleWeights | None = None,
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
        before, after = fit_callbacks(self, x, kwargs.get("steps_per_epoch"))
        warn_of_batch_statistics(self, x)
        x, y, sample_weight = self._checked_data("train", x, y, sample_weight)
        if isinstance(validation_data, (tuple, list)):
            validation_data = self._checked_data("test", *validation_data)
        elif validation_data is not None:
            validation_data = self._checked_data("test", validation_data)[0]
        if hasattr(x, "element_spec") or before:
            shuffle = False  # A dataset shuffles itself; Keras would warn about its own default.
        with self._whole_after_errors():  # A data set checks its labels as it is passed over.
            class_weight = balance_classes(self, x, y, sample_weight, class_weight, validation_split)
        with (
            self._class_weights(class_weight),
            with_callbacks(callbacks, self, before, after) as callbacks,
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
        x: Data | None = None,
        y: Labels | ArrayLike | None = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: SampleWeights | None = None,
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
        x: Data,
        y: Labels | ArrayLike | None = None,
        sample_weight: SampleWeights | None = None,
        class_weight: TaskDict[ClassWeights] | ClassWeights | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one batch; arguments as in Keras, labels and weights by task."""
        x, y, sample_weight = self._checked_data("train", x, y, sample_weight)
        with self._class_weights(class_weight), self._whole_after_errors():
            return super().train_on_batch(x, y, sample_weight, return_dict=return_dict)

    def test_on_batch(  # type: ignore[override]
        self,
        x: Data,
        y: Labels | ArrayLike | None = None,
        sample_weight: SampleWeights | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Returns loss and metrics of one batch; arguments as in Keras, labels and weights by task."""
        x, y, sample_weight = self._checked_data("test", x, y, sample_weight)
        with self._whole_after_errors(), self._evaluating():
            return super().test_on_batch(x, y, sample_weight, return_dict=return_dict)

    def _evaluating(self) -> Any:
        kept = self._compile_metrics
        return contextlib.nullcontext() if kept is None else kept.evaluation()

    def _checked_data(
        self, step: str, x: Any, y: Any = None, sample_weight: SampleWeights | None = None
    ) -> tuple[Any, Any, Any]:
        """Returns data for a step, `"train"` or `"test"`, whose labels and weights are checked."""
        x = model_inputs(self, x)
        if y is None:
            return ways_in.check_source(x, self.heads, functools.partial(self.see_ranks, step)), y, None
        y, sample_weight = ways_in.check_arrays(y, sample_weight, self.heads)
        if not y:
            raise no_labels(self)
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

    def _scope(self) -> Any:
        strategy = strategy_of(self)
        return strategy.scope() if strategy is not None else contextlib.nullcontext()

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
