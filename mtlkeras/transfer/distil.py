"""Several teachers into one student."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._balancing.attached import attach
from mtlkeras._errors import unknown_name
from mtlkeras._keras_private import call_behind
from mtlkeras._model import checks
from mtlkeras._model.model import MultiTaskModel
from mtlkeras._model.recompiling import Compilation
from mtlkeras._model.saving import load_model
from mtlkeras._types import Data, PathLike
from mtlkeras.features import Features
from mtlkeras.transfer._soft_heads import SameDirection, soft_head
from mtlkeras.transfer._teachers import FEATURES, SOFT, Softened, Teacher, features


def distil(
    teachers: Mapping[str, MultiTaskModel | PathLike],
    student: MultiTaskModel,
    data: Data | tuple[Any, ...],
    temperature: float = 2.0,
    weight: float = 0.5,
    feature_weight: float = 0.0,
    batch_size: int = 32,
    validation_data: Any = None,
    **fit: Any,
) -> keras.callbacks.History:
    """Trains a student on labels and on what teachers say, usually a single-task model for each task.

    A task with a teacher counts `(1 - weight) * L + weight * S + feature_weight * F` times its loss weight.
    L is its loss on the labels that are there. S, over all examples, is that on the teacher's outputs: for
    `Classification` T^2 KL(teacher || student) of the softmax at temperature T (Hinton, Vinyals and Dean
    2015, section 2), for `MultiLabel` the same for each label, for `Regression` the squared error on the
    standardised scale. F is the squared distance of unit vectors between the teacher's features and a linear
    projection of the student's (Li and Bilen 2020, Knowledge Distillation for Multi-task Learning, eq. 4),
    where their heads read a vector. A task without a teacher counts as ever.

    In this training S and F are losses of further tasks, logged as `<task>_soft_loss` and
    `<task>_features_loss`, beside the student's own logs; a balancer has them as tasks. The student trains
    by a new optimizer of its optimizer's config; afterwards it is as it was, but for its weights.

    `keras.distillation.Distiller` has one teacher, takes outputs for logits, and one loss for all examples,
    so that labels cannot be missing; it does not serve here.

    Args:
        teachers: Trained models, or paths of `.keras` files, by the student's task. A teacher has a task of
            that name, or one task only.
        student: A compiled model; its `Regression` heads know mean and scale already (`student.adapt`).
        data: `(x, y)` or `(x, y, sample_weight)` in arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset` or
            a generator of such batches. Labels of any task may be missing, all of them too. Weights of
            examples weigh what the teachers say as well.
        temperature: T, above zero.
        weight: Share of the teachers' outputs, in [0, 1].
        feature_weight: Factor of the distance of the features; 0 leaves it out.
        batch_size: Of arrays.
        validation_data: As for `fit`: the losses and metrics are those of labels alone.
        **fit: As for `student.fit`: `epochs`, `callbacks`, `verbose` and others. Callbacks are given the
            model with the further tasks, which is made of the student's layers.

    Returns:
        The `keras.callbacks.History`.

    Raises:
        ValueError: If the student is not compiled, a teacher's task is not the student's, heads differ, a
            head is of a kind that does not learn from a teacher, or a number does not fit.

    Example:

    ```python
    def build(tasks):
        trunk = mtlkeras.trunks.MLP(depth=1, width=8)
        return mtlkeras.build_model((3,), trunk, {t: mtlkeras.heads.Classification(2) for t in tasks})


    student = build(["a", "b"])
    student.compile("adam")
    teachers = {"a": build(["a"]), "b": build(["b"])}  # Trained ones.
    mtlkeras.transfer.distil(teachers, student, (np.ones((8, 3)), {"a": np.zeros(8, int)}), verbose=0)
    ```
    """
    _check_numbers(temperature, weight, feature_weight)
    known = _teachers(teachers, student, feature_weight > 0)
    compilation = Compilation(student)
    made = Softened(known, list(student.heads)).data(data, batch_size)
    if len(made) > 1:
        data, y, sample_weight = made
        fit |= {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
    else:
        (data,) = made
    try:
        with compilation.scope():
            model = _with_soft_tasks(student, known, temperature)
            model.compile(**_arguments(student, compilation, known, weight, feature_weight))
            model.skip_non_finite = student.skip_non_finite
        return model.fit(data, validation_data=validation_data, **fit)
    finally:
        attach(student.balancing, student)  # The fork is that of both.


def _check_numbers(temperature: Any, weight: Any, feature_weight: Any) -> None:
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"distil: temperature must be finite and above zero; received {temperature!r}.")
    if not 0 <= weight <= 1:
        raise ValueError(f"distil: weight must be in [0, 1]; received {weight!r}.")
    if not (np.isfinite(feature_weight) and feature_weight >= 0):
        raise ValueError(
            f"distil: feature_weight must be finite and not negative; received {feature_weight!r}."
        )


def _teachers(teachers: Any, student: Any, with_features: bool) -> dict[str, Teacher]:
    """Returns the teachers by task, checked against the student's heads."""
    if not isinstance(student, MultiTaskModel):
        raise ValueError(f"distil: student must be a MultiTaskModel; received {student!r}.")
    if not isinstance(teachers, Mapping) or not teachers:
        raise ValueError(f"distil: teachers must be a dict of models by task; received {teachers!r}.")
    if student.dependence is not None:
        raise ValueError(
            "distil: the student's tasks depend on each other (dependence=), so their losses are not those "
            "of each task alone, which a teacher could add to."
        )
    found = {}
    for task, model in teachers.items():
        if task not in student.heads:
            raise unknown_name("task", task, student.heads, "teachers of distil")
        model = load_model(model, compile=False) if isinstance(model, (str, os.PathLike)) else model
        teacher, head = Teacher(task, model, with_features), student.heads[task]
        if type(teacher.head) is not type(head) or teacher.head.units != head.units:
            raise ValueError(
                f"distil: the teacher of task '{task}' has a {type(teacher.head).__name__} of "
                f"{teacher.head.units}, the student a {type(head).__name__} of {head.units}."
            )
        taken = [name for name in teacher.widths if name in student.heads]
        if taken:
            raise ValueError(
                f"distil: what the teacher of task '{task}' says would be a task '{taken[0]}', which the "
                "student has. Rename that."
            )
        found[task] = teacher
    return found


def _with_soft_tasks(
    student: MultiTaskModel, teachers: Mapping[str, Teacher], temperature: float
) -> MultiTaskModel:
    """Returns a model of the student's layers with further tasks, whose labels are what teachers say."""
    outputs = dict(student.output)
    for task, teacher in teachers.items():
        layer = student.output_layers[task]
        head = soft_head(task, layer.head, layer, temperature)
        outputs[task + SOFT] = head.output_layer(task + SOFT)(call_behind(student.output[task]).inputs[0])
        if task + FEATURES in teacher.widths:
            match = SameDirection(teacher.widths[task + FEATURES])
            read = features(student, task)
            outputs[task + FEATURES] = match.attach(Features(vector=read), task + FEATURES)
    return MultiTaskModel(student.input, outputs)


def _arguments(
    student: Any, compilation: Compilation, teachers: Mapping[str, Teacher], weight: float, of_features: float
) -> dict[str, Any]:
    """Returns how the model is compiled in which the student trains."""
    given, tasks = compilation.arguments, list(student.heads)
    by_task = {
        name: checks.by_task(given[name], tasks, name)
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics")
    }
    weights = {task: head.loss_weight for task, head in student.heads.items()} | by_task["loss_weights"]
    for task in teachers:
        whole = weights[task]
        weights |= {task: (1 - weight) * whole, task + SOFT: weight * whole}
        if of_features:
            weights[task + FEATURES] = of_features * whole
    optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(student.optimizer))
    return {**given, **by_task, "loss_weights": weights, "optimizer": optimizer}
