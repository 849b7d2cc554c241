"""What a label is: the spec that a user writes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mtlkeras._errors import unknown_name
from mtlkeras.specs import Spec, spec

LABEL_KINDS = ("class", "number", "multi", "tags", "mask", "array")
UNSEEN_VALUES = ("error", "missing", "wrong")


@spec
class Label(Spec):
    """Says where the label of a task stands and how to read it.

    `tasks={"label": "label"}` is short for `tasks={"label": Label("label")}`, and a list of
    columns is short for a `Label` of that list.

    Args:
        column: Name of a column or feature; or several names, which make one vector label.
        kind: `"class"` (one class id), `"number"` (float32), `"multi"` (a 0 or 1 for each of
            several yes/no labels), `"tags"` (a class id for each token of a sentence), `"mask"` (a
            class id for each pixel, from files beside the pictures or an array) or `"array"` (passed
            on as it is). `None` finds out: words, booleans and whole numbers are classes, other numbers
            are numbers, several columns and lists are multi-labels, columns of a file with
            one token a line are tags, arrays of higher rank are arrays.
        classes: Names of the classes in the order of their ids; or a mapping from a class
            name to the list of values that mean it. `None` takes all words found in the
            whole source, sorted; whole numbers are then ids already. Of a mask they are the names of the
            values 0, 1, ...; or a mapping from a name to its value, its colour (red, green, blue), or
            several of these.
        missing: Values that stand for a missing label, besides empty cells, `None` and NaN.
        separator: For a multi-label or tags in one column of words: what stands between the
            words; for tags, `None` means blanks.
        pattern: A regular expression; the label is its first group (or all of it) where it is
            found in a word, and missing where it is not.
        unseen: What becomes of a value that is none of `classes`, as data to predict may have:
            `"error"`; `"missing"`, the label counts as not known (in a multi-label the value alone is
            left out); or `"wrong"`, `mtlkeras.data.UNSEEN`, which no answer is right for: it counts in
            metrics and in no loss. `"wrong"` is for classes, tags and masks. With `"missing"` a mask's
            file may be missing, too.
        files: For masks of files: the folder or .zip that they lie in, within or beside the source; `None`
            for the source itself.

    A missing label becomes `-1` (`mtlkeras.MISSING`) in whole-number labels and NaN in
    float labels; in multi-labels of several columns, each entry for itself. Tags
    come as `(batch, time)`, padded with -1.

    Masks come as `(batch, height, width)`. Their column names the files, with or without folder and ending;
    an empty cell is a mask that is missing. A file has the size of its picture and is resized with it, by
    nearest neighbour; it has a number for each pixel (of a palette the index), or colours. Several columns
    are one file a class: yes/no masks that may overlap, `(batch, height, width, masks)`, 1 where the file is
    not 0. An array of that shape is taken for such masks.

    Example:

    ```python
    mtlkeras.data.Label("label", missing=["Not sure", "Other"])
    mtlkeras.data.Label("status", classes={"never": "Never-married", "once": ["Divorced", "Widowed"]})
    mtlkeras.data.Label(["heating_load", "cooling_load"], kind="number")
    mtlkeras.data.Label("slots", kind="tags", classes=("O", "B-city", "I-city"))
    mtlkeras.data.Label("sent_id", pattern="^([a-z]+)-")
    mtlkeras.data.Label("colour", classes=("red", "blue"), unseen="missing")
    mtlkeras.data.Label("mask", kind="mask", classes=("background", "leaf"), missing=[255])
    mtlkeras.data.Label("id", kind="mask", classes={"road": (128, 64, 128), "sky": (0, 0, 9)}, files="m.zip")
    ```
    """

    column: str | Sequence[str]
    kind: str | None = None
    classes: Sequence[Any] | Mapping[str, Any] | None = None
    missing: Sequence[Any] = ()
    separator: str | None = None
    pattern: str | None = None
    unseen: str = "error"
    files: str | None = None

    def validate(self) -> None:
        if self.kind is not None and self.kind not in LABEL_KINDS:
            raise unknown_name("kind", self.kind, LABEL_KINDS, f"Label({self.column!r})")
        if not self.columns or not all(isinstance(name, str) for name in self.columns):
            raise ValueError(
                f"Label(column=...) must be a column name or a list of them; received {self.column!r}."
            )
        if self.files is not None and self.kind != "mask":
            raise ValueError(
                f"Label({self.column!r}): files={self.files!r} is for kind='mask'; received "
                f"kind={self.kind!r}."
            )
        if isinstance(self.missing, str):
            object.__setattr__(self, "missing", (self.missing,))
        if self.unseen not in UNSEEN_VALUES:
            raise unknown_name("value", self.unseen, UNSEEN_VALUES, f"unseen= of Label({self.column!r})")
        if self.unseen != "error" and (self.classes is None or self.kind in ("number", "array")):
            raise ValueError(
                f"Label({self.column!r}): unseen={self.unseen!r} needs classes=, outside of which a value "
                "can be."
            )
        if self.unseen == "wrong" and self.kind == "multi":
            raise ValueError(
                f"Label({self.column!r}): unseen='wrong' is for kinds 'class' and 'tags'; a multi-label "
                "knows 'error' and 'missing'."
            )
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"Label({self.column!r}): pattern {self.pattern!r}: {error}.") from error

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns of the label."""
        return (self.column,) if isinstance(self.column, str) else tuple(self.column)


def label_specs(tasks: Mapping[str, str | Sequence[str] | Label]) -> dict[str, Label]:
    """Checks the argument `tasks` and returns a `Label` for each task."""
    if not isinstance(tasks, Mapping) or not tasks:
        raise ValueError(
            f"tasks= must map task names to columns, as in {{'label': 'label'}}; received {tasks!r}."
        )
    return {task: _label_spec(task, value) for task, value in tasks.items()}


def _label_spec(task: Any, value: Any) -> Label:
    if not isinstance(task, str):
        raise ValueError(f"A task's name must be a string; received {task!r} in tasks=.")
    if isinstance(value, Label):
        return value
    if isinstance(value, str) or (
        isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)
    ):
        return Label(value)
    raise ValueError(
        f"Task '{task}' in tasks= must be a column name, a list of them or a Label; received {value!r}."
    )
