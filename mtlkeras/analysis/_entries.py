"""The places at which a model's inputs become numbers, and the model from there on.

A float input is one itself. What is looked up or scaled becomes numbers in a layer: ids in embeddings,
wherever in the trunk they are, pixels where they are scaled. Behind these places the model has gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from mtlkeras._keras_private import (
    filled,
    functional_within,
    has_graph,
    mask_of,
    ordered_nodes,
    ready_inputs,
    run_node,
    set_mask,
)
from mtlkeras.analysis._input_values import LOOKUPS, input_names
from mtlkeras.layers.characters import _CharacterLayer
from mtlkeras.layers.preprocessing import ImagePreprocessing
from mtlkeras.layers.special_tokens import AddSpecialTokens

NUMBERS, TOKENS, CATEGORIES = "numbers", "tokens", "categories"

# Layers that make a number of each number by itself; pictures of one size are taken for that too.
_BY_NUMBER = (keras.layers.Rescaling, keras.layers.Normalization, ImagePreprocessing)

_SHAPING = (keras.layers.Reshape, keras.layers.Flatten)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A place where inputs become numbers.

    Args:
        kind: `NUMBERS` of the input's own shape, `TOKENS` or `CATEGORIES` with features for each id.
        sources: The inputs that it comes from.
        value: What is there, floats.
        ids: The whole numbers that it was made of: of tokens, with all their columns; else what the layer was
            called with, of a float input the value.
        marks: Ids that the model puts in itself, such as that of `[CLS]`.
    """

    kind: str
    sources: tuple[str, ...]
    value: Any
    ids: Any
    marks: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Trace:
    """Where a tensor comes from: inputs and ids, through a lookup, as it was but for its shape, or fixed."""

    sources: frozenset[str] = frozenset()
    ids: Any = None
    marks: tuple[int, ...] = ()
    looked_up: bool = False
    as_it_was: bool = True
    fixed: bool = False

    def __or__(self, other: _Trace) -> _Trace:
        return _Trace(
            self.sources | other.sources,
            self.ids if self.ids is not None else other.ids,
            self.marks or other.marks,
            self.looked_up or other.looked_up,
            self.as_it_was and other.as_it_was,
            self.fixed or other.fixed,
        )


Replace = Callable[[int, Entry], Any]
"""Gives for the number of an entry and the entry what the model goes on with."""


def kept(number: int, entry: Entry) -> Any:
    """Goes on with what is there."""
    return entry.value


class EntryPass:
    """A forward pass in inference through all graphs of a model, in which entries can be replaced.

    Args:
        model: A functional model; what it gives is what `outputs` gives.
        asked_by: What to name in messages.
    """

    def __init__(self, model: Any, asked_by: str) -> None:
        self.model, self._asked_by, self._names = model, asked_by, input_names(model)

    def entries(self, inputs: list[Any]) -> list[Entry]:
        """Returns the entries for inputs as `ready` gives them, in the order of the pass."""
        return self._run(inputs, kept)[1]

    def outputs(self, inputs: list[Any], values: list[Any]) -> Any:
        """Returns the model's outputs with other values at the entries."""
        return self._run(inputs, lambda number, _: values[number])[0]

    def _run(self, inputs: list[Any], replace: Replace) -> tuple[Any, list[Entry]]:
        run = _Run(replace, self._asked_by)
        traces = [
            _Trace(frozenset([name]), x if _is_int(x) else None)
            for name, x in zip(self._names, inputs, strict=True)
        ]
        given = [
            run.enter(NUMBERS, trace, x, x) if _is_float(x) else x
            for x, trace in zip(inputs, traces, strict=True)
        ]
        values, _ = run.through(self.model, given, traces)
        return keras.tree.pack_sequence_as(self.model.output, values), run.entries


class _Run:
    """One pass; gathers the entries on its way."""

    def __init__(self, replace: Replace, asked_by: str) -> None:
        self._replace, self._asked_by = replace, asked_by
        self.entries: list[Entry] = []

    def enter(self, kind: str, trace: _Trace, value: Any, ids: Any) -> Any:
        """Notes an entry; returns what the pass goes on with."""
        entry = Entry(kind, tuple(sorted(trace.sources)), value, ids, trace.marks)
        self.entries.append(entry)
        replaced = self._replace(len(self.entries) - 1, entry)
        mask = mask_of(value)
        if mask is not None and replaced is not value:
            set_mask(replaced, mask)
        return replaced

    def through(self, model: Any, given: list[Any], traces: list[_Trace]) -> tuple[list[Any], list[_Trace]]:
        """Returns a graph's flat outputs, and where they come from."""
        tensors = keras.tree.flatten(model.input)
        values = {id(x): value for x, value in zip(tensors, given, strict=True)}
        known = {id(x): trace for x, trace in zip(tensors, traces, strict=True)}
        for node in ordered_nodes(model):
            own = [known[id(x)] for x in node.input_tensors]
            found, of_found = self._apply(node, values, own)
            values.update({id(x): value for x, value in zip(node.outputs, found, strict=True)})
            known.update({id(x): trace for x, trace in zip(node.outputs, of_found, strict=True)})
        outputs = keras.tree.flatten(model.output)
        return [values[id(x)] for x in outputs], [known[id(x)] for x in outputs]

    def _apply(
        self, node: Any, values: Mapping[int, Any], own: list[_Trace]
    ) -> tuple[list[Any], list[_Trace]]:
        operation = functional_within(node.operation)
        if has_graph(operation):
            args, kwargs = filled(node, values)
            return self.through(operation, ready_inputs(operation, args[0], kwargs.get("mask")), own)
        found = run_node(node, dict(values), training=False)
        trace = _joined(own, operation)
        if isinstance(operation, AddSpecialTokens):
            # In the order of the names: positions and segments stay when tokens are taken away.
            names = sorted(operation.compute_output_spec(node.input_tensors))
            marks = (operation.start, operation.end)
            trace = dataclasses.replace(trace, ids=found[names.index("ids")], marks=marks)
            return found, [dataclasses.replace(trace, fixed=name != "ids") for name in names]
        if trace.ids is None and _is_int(found[0]):  # Of strings.
            trace = dataclasses.replace(trace, ids=found[0])
        if _is_entry(node, own):
            read = values[id(node.input_tensors[0])]
            kind = self._kind(node, trace)
            ids = trace.ids if kind == TOKENS else read
            found = [self.enter(kind, trace, found[0], ids)]
        return found, [trace] * len(found)

    def _kind(self, node: Any, trace: _Trace) -> str:
        operation = node.operation
        if trace.looked_up:
            return CATEGORIES
        if isinstance(operation, (keras.layers.Embedding, _CharacterLayer)):
            return TOKENS
        given, made = (tuple(x.shape) for x in (node.input_tensors[0], node.outputs[0]))
        alone = not isinstance(operation, keras.layers.Layer) or isinstance(operation, _BY_NUMBER)
        if given == made and (alone or len(made) == 4):
            return NUMBERS
        raise ValueError(
            f"{self._asked_by}: the layer '{operation.name}' ({type(operation).__name__}) makes features of "
            "whole numbers, and not by an Embedding whose output could be attributed to each. "
            "mtlkeras.analysis.occlusion needs no gradients."
        )


def _is_entry(node: Any, traces: list[_Trace]) -> bool:
    """Whether an operation makes floats of what are none, and says more than where something is."""
    given = [x.dtype for x in node.input_tensors]
    if not any(t.sources for t in traces) or any(t.fixed for t in traces) or len(node.outputs) != 1:
        return False
    if not _is_float(node.outputs[0]) or any(map(keras.backend.is_float_dtype, given)):
        return False
    # A mask that becomes a number is none; a column of yes and no is.
    return not all(dtype == "bool" for dtype in given) or all(t.as_it_was for t in traces)


def _joined(traces: list[_Trace], operation: Any) -> _Trace:
    trace = _Trace()
    for one in traces:
        trace |= one
    return dataclasses.replace(
        trace,
        looked_up=trace.looked_up or isinstance(operation, LOOKUPS),
        as_it_was=trace.as_it_was and isinstance(operation, _SHAPING),
    )


def _is_float(tensor: Any) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))


def _is_int(tensor: Any) -> bool:
    return keras.backend.is_int_dtype(keras.backend.standardize_dtype(tensor.dtype))


def by_place(entry: Entry, values: np.ndarray) -> np.ndarray:
    """Returns attributions of an entry's numbers as those of its ids: `(examples, steps)` of tokens."""
    if entry.kind == NUMBERS:
        return values
    if entry.kind == CATEGORIES:
        return values.sum(axis=-1)
    return values.reshape(*values.shape[:2], -1).sum(axis=-1)
