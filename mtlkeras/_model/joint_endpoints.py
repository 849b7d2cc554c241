"""What an exported model of tasks that depend on each other answers beside the best of each task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from mtlkeras._backends import traced_once
from mtlkeras._errors import unknown_name
from mtlkeras._missing import MISSING
from mtlkeras._model.answering import joint_outputs, outputs_given
from mtlkeras._model.outputs import dependence_layer
from mtlkeras.dependence.base import DEPENDENCE


class Endpoint(NamedTuple):
    """An endpoint of an export: its name, function and signature."""

    name: str
    function: Callable[..., dict[str, Any]]
    signature: list[Any]


def check_asked(model: Any, joint: bool, known: Sequence[str], format: str) -> None:
    """Raises `ValueError` if an export cannot have what is asked of it."""
    if not joint and not known:
        return
    if format != "tf_saved_model":
        raise ValueError(f"export: joint= and known= are for tf_saved_model; received the format {format}.")
    layer = dependence_layer(model)
    if layer is None:
        raise ValueError(
            "export: joint= and known= are for tasks that depend on each other; this model was built without "
            "dependence=."
        )
    if isinstance(known, str):
        raise ValueError(f"export: known must be a tuple of tasks; received {known!r}: write ({known!r},).")
    for task in known:
        if task not in layer.tasks:
            raise unknown_name("task", task, layer.tasks, "known= of export")


def joint_endpoints(
    model: Any, inputs: Any, decode: Callable[..., dict[str, Any]], joint: bool, known: Sequence[str]
) -> list[Endpoint]:
    """Returns the endpoints `serve_joint` and `serve_known` that are asked for.

    Args:
        model: The model.
        inputs: Its inputs, of `keras.InputSpec`.
        decode: Turns outputs by task into answers.
        joint: Whether to answer with the most probable answers together.
        known: The tasks whose known answers the endpoints take.
    """
    labels = {task: _label_spec(model.heads[task], task) for task in known}
    asked = {"serve_joint": joint_outputs} if joint else {}
    if known:
        asked["serve_known"] = outputs_given
    return [
        _endpoint(name, _answering(model, outputs_of, decode), inputs, labels)
        for name, outputs_of in asked.items()
    ]


def _endpoint(name: str, answer: Callable, inputs: Any, labels: dict[str, Any]) -> Endpoint:
    # An archive traces each endpoint twice or more, and a chain is traced for seconds.
    traced = traced_once(answer, (inputs, labels))

    def serve(inputs: Any) -> dict[str, Any]:
        return traced((inputs, {}))

    def serve_with(inputs: Any, known: Any) -> dict[str, Any]:
        return traced((inputs, known))

    return Endpoint(name, serve_with if labels else serve, [inputs, labels] if labels else [inputs])


def _label_spec(head: Any, task: str) -> Any:
    shape = (None, len(head.answer_classes)) if head.label_form.by_entry else (None,)
    return keras.InputSpec(shape=shape, dtype="int32", name=f"known_{task}")


def _answering(model: Any, outputs_of: Callable, decode: Callable[..., dict[str, Any]]) -> Callable:
    layer: Any = dependence_layer(model)

    def serve(given: Any) -> dict[str, Any]:
        inputs, known = given
        outputs, behind = model.scored(inputs, training=False)
        evidence = {
            task: (ops.maximum(labels, 0), ops.not_equal(labels, MISSING)) for task, labels in known.items()
        }
        found = {**outputs, **outputs_of(model, layer, behind[DEPENDENCE], evidence)}
        answers = decode(model, found)
        if outputs_of is joint_outputs:  # Whose probability is not that of the answer to one task.
            return {name: value for name, value in answers.items() if not _of_probability(name, layer.tasks)}
        return answers

    return serve


def _of_probability(name: str, tasks: Sequence[str]) -> bool:
    return name.removesuffix("_probability") in tasks and name not in tasks
