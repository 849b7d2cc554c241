"""What the sources of a mix give, and what all of its batches have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtlkeras._errors import near_match, unknown_name
from mtlkeras._missing import MISSING
from mtlkeras._types import Shape


@dataclasses.dataclass(frozen=True)
class Form:
    """Shape, the batch left out, and type of one input, label or weight."""

    shape: Shape
    dtype: str

    @property
    def is_float(self) -> bool:
        """Whether the entries are floating-point numbers."""
        return "float" in self.dtype

    def __str__(self) -> str:
        axes = ", ".join("None" if n is None else str(n) for n in ("batch", *self.shape))
        return f"{self.dtype} ({axes}{',' if not self.shape else ''})"


@dataclasses.dataclass(frozen=True)
class SourceForm:
    """What a batch of one source holds.

    Args:
        inputs: By name; `single` says that there is one and no dict.
        single: Whether the inputs are one array, whose name here is `""`.
        labels: By task.
        weights: By task, or `None` if there are none.
    """

    inputs: Mapping[str, Form]
    single: bool
    labels: Mapping[str, Form]
    weights: Mapping[str, Form] | None = None


@dataclasses.dataclass(frozen=True)
class MixForm(SourceForm):
    """What every batch of a mix holds.

    Args:
        fill: What stands for an input where a source lacks it, by name.
        numbers: The numbers of the sources.
        source_input: Name of the input that is the number of an example's source, if there is one.
    """

    fill: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    source_input: str | None = None

    def input_fill(self, name: str, source: str | None = None) -> Any:
        """What stands for an input that a source lacks, and fills up shorter rows: padding."""
        if source is not None and name == self.source_input:
            return self.numbers[source]
        return self.fill.get(name, "" if self.inputs[name].dtype == "string" else 0)

    def label_fill(self, task: str) -> Any:
        """The marker of a missing label."""
        return np.nan if self.labels[task].is_float else MISSING

    def fills_by_name(self) -> dict[tuple[int, str], Any]:
        """What fills up each input (0), label (1) and weight (2)."""
        inputs = {(0, name): self.input_fill(name) for name in self.inputs}
        return {
            **inputs,
            **{(1, task): self.label_fill(task) for task in self.labels},
            **{(2, task): 1 for task in self.weights or {}},
        }

    def followed(self, axis: int) -> str | None:
        """Returns the input that labels are as long as along an axis of no fixed size; `None` if none has it.

        So tags that a source lacks are as many as its tokens.
        """
        deep = [name for name, one in self.inputs.items() if len(one.shape) > axis]
        return next((name for name in deep if self.inputs[name].shape[axis] is None), next(iter(deep), None))


def named_labels(source: str, y: Any) -> Mapping[str, Any]:
    """Returns labels by task; a bare label is of the task that its source is named for."""
    if y is None:
        raise ValueError(f"mix: source '{source}' has no labels; expected (inputs, labels by task).")
    if isinstance(y, Mapping):
        if not y:
            raise ValueError(f"mix: source '{source}' has labels of no task.")
        return y
    if isinstance(y, (list, tuple)):
        raise ValueError(
            f"mix: the labels of source '{source}' must be a dict by task; received a {type(y).__name__}."
        )
    return {source: y}


def merged(
    forms: Mapping[str, SourceForm], fill: Mapping[str, Any] | None, source_input: str | None = None
) -> MixForm:
    """Returns what all batches of a mix have in common.

    Raises:
        ValueError: If inputs or labels of one name differ, or a source lacks what it is named for.
    """
    if len({form.single for form in forms.values()}) > 1:
        single = next(name for name, form in forms.items() if form.single)
        raise ValueError(
            f"mix: source '{single}' has one input without a name, others have inputs by name. Give all of "
            "them dicts of inputs."
        )
    _check_named_tasks(forms)
    inputs = {name: _common("input", name, found) for name, found in _gathered(forms, "inputs").items()}
    fill = dict(fill or {})
    for name in fill:
        if name not in inputs:
            raise unknown_name("input", name, inputs, "fill= of mix")
    _check_filled_heads(forms, fill)
    gathered = _gathered(forms, "labels")
    labels = {
        task: _label_form(task, _common("labels of task", task, found), len(found) < len(forms))
        for task, found in gathered.items()
    }
    unnamed = next(iter(forms.values())).single
    if source_input is not None:
        _check_source_input(source_input, inputs, unnamed)
        inputs[source_input] = Form((), "int32")
    numbers = {source: number for number, source in enumerate(forms)}
    return MixForm(inputs, unnamed, labels, _weights(forms), fill, numbers, source_input)


def _check_source_input(name: str, inputs: Mapping[str, Form], unnamed: bool) -> None:
    if unnamed:
        raise ValueError(
            f"mix: source_input='{name}' is an input beside others, which must have names: give all sources "
            "dicts of inputs."
        )
    if name in inputs:
        raise ValueError(f"mix: source_input='{name}' is the name of an input that the sources have.")


def _gathered(forms: Mapping[str, SourceForm], part: str) -> dict[str, dict[str, Form]]:
    """Returns the forms by name and source."""
    found: dict[str, dict[str, Form]] = {}
    for source, form in forms.items():
        for name, one in (getattr(form, part) or {}).items():
            found.setdefault(name, {})[source] = one
    return found


def _check_named_tasks(forms: Mapping[str, SourceForm]) -> None:
    tasks = {task for form in forms.values() for task in form.labels}
    for source, form in forms.items():
        if source in tasks and source not in form.labels:
            listed = ", ".join(map(repr, form.labels))
            hint = near_match(source, form.labels)
            raise ValueError(
                f"mix: source '{source}' has the name of a task and no labels for it; it has those of "
                f"{listed}.{hint}"
            )


def _check_filled_heads(forms: Mapping[str, SourceForm], fill: Mapping[str, Any]) -> None:
    """Refuses a task whose head would train on an input that is not there, unless its fill is given."""
    for task, found in _gathered(forms, "labels").items():
        there = {name for source in found for name in forms[source].inputs}
        for source in found:
            for name in sorted(there - set(forms[source].inputs) - set(fill)):
                raise ValueError(
                    f"mix: task '{task}' has labels in source '{source}', which lacks the input '{name}' "
                    "of the task's other sources, so that its head would train on a filled one. Leave the "
                    f"task out there (keep_tasks), or say what stands for the input: fill={{'{name}': 0}}."
                )


def _common(what: str, name: str, found: Mapping[str, Form]) -> Form:
    """Returns the form that the forms of several sources have in common."""
    first, *others = found
    common = found[first]
    for source in others:
        form = found[source]
        fits = len(form.shape) == len(common.shape) and all(
            a == b or a is None or b is None for a, b in zip(form.shape, common.shape, strict=True)
        )
        dtype = _common_type(common.dtype, form.dtype, exactly=what == "input")
        if not fits or dtype is None:
            called = f"{what} '{name}'" if name else "the input"
            raise ValueError(
                f"mix: {called}: {found[first]} in source '{first}' and {form} in source '{source}'; "
                "expected one shape and type."
            )
        common = Form(shape_of_both(form.shape, common.shape), dtype)
    return common


def shape_of_both(a: Shape, b: Shape) -> Shape:
    """Returns a shape without the sizes in which two of one rank differ."""
    return tuple(m if m == n else None for m, n in zip(a, b, strict=True))


def _common_type(a: str, b: str, exactly: bool) -> str | None:
    """Returns the type that holds the values of both types; `None` for whole numbers beside fractions."""
    if a == b:
        return a
    if exactly or "string" in (a, b) or ("float" in a) != ("float" in b):
        return None
    if "bfloat16" in (a, b):
        return "float32"
    return np.result_type(a, b).name


def _label_form(task: str, form: Form, is_missing: bool) -> Form:
    """Returns labels in a type that has room for the marker of a missing one."""
    if form.dtype == "string":
        raise ValueError(f"mix: labels of task '{task}' must be numbers; received text.")
    narrow = not form.is_float and form.dtype not in ("int8", "int16", "int32", "int64")
    if not is_missing or not narrow:
        return form
    return Form(form.shape, "int64" if form.dtype in ("uint32", "uint64") else "int32")


def _weights(forms: Mapping[str, SourceForm]) -> dict[str, Form] | None:
    gathered = _gathered(forms, "weights")
    if not gathered:
        return None
    tasks = {task: None for form in forms.values() for task in form.labels}
    for task in gathered:
        if task not in tasks:
            raise unknown_name("task", task, tasks, "sample weights of mix")
    found = {task: _common("sample weights of task", task, parts) for task, parts in gathered.items()}
    return {task: Form(found[task].shape if task in found else (), "float32") for task in tasks}
