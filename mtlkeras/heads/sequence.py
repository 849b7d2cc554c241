"""The base of heads that give a tag to every step of a sequence."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from mtlkeras._errors import unknown_name
from mtlkeras._missing import MISSING
from mtlkeras._types import Tensor
from mtlkeras.features import Features
from mtlkeras.heads._labels import StepLabels
from mtlkeras.heads.base import Head
from mtlkeras.layers._chain import IMPOSSIBLE
from mtlkeras.layers._entities import EntityReader, entity_spans
from mtlkeras.layers._tag_constraints import SCHEMES, check_tags
from mtlkeras.layers.sequence_output import SequenceOutput
from mtlkeras.metrics import EntityScore, TokenAccuracy

_LOSS_PER = ("sequence", "token")
_ENTITY_METRICS = ("f1", "precision", "recall")


class StepHead(Head):
    """An answer for every step of a sequence: its mask, its labels, and outputs of many lengths."""

    kind: ClassVar = "sequence"
    padding: ClassVar[float] = IMPOSSIBLE  # What outputs are where there is no step.

    def output(self, scores: Tensor, features: Features, task: str) -> Tensor:
        return self.output_layer(task)(scores if features.mask is None else [scores, features.mask])

    def output_layer(self, task: str) -> SequenceOutput:
        return SequenceOutput(self, name=task)

    def steps(self, outputs: Tensor) -> Tensor:
        """Returns the mask of the steps, as the outputs tell it: bool, shape `(batch, time)`."""
        return ops.max(outputs, axis=-1) > self.padding

    @property
    def label_form(self) -> StepLabels:
        return StepLabels(self.units)

    @property
    def weighed_by_label(self) -> bool:
        return True

    def within(self, mask: Tensor, outputs: Tensor) -> Tensor:
        """Returns the mask without what lies outside of the sequences.

        Raises:
            ValueError: If labels and outputs have different lengths.
        """
        if None not in (mask.shape[1], outputs.shape[1]) and mask.shape[1] != outputs.shape[1]:
            raise ValueError(
                f"the labels have {mask.shape[1]} steps, the outputs {outputs.shape[1]}: pad both alike."
            )
        return ops.logical_and(mask, self.steps(outputs))

    def metric_outputs(self, outputs: Tensor, layer: Any) -> Tensor:
        """Returns the best tags, with `MISSING` where there is no step."""
        return layer.answers(outputs)

    def one_length(self, outputs: Tensor) -> np.ndarray:
        if hasattr(outputs, "to_tensor"):  # TensorFlow's ragged tensor, for batches of several lengths.
            outputs = outputs.to_tensor(default_value=self.padding)
        return np.asarray(outputs)


class SequenceHead(StepHead):
    """A tag for every step; the fields and metrics that such heads have in common."""

    metric_names: ClassVar = (
        "accuracy",
        *_ENTITY_METRICS,
        *(f"strict_{name}" for name in _ENTITY_METRICS),
    )

    tags: tuple[str, ...]
    scheme: str | None

    def validate(self) -> None:
        super().validate()
        name = type(self).__name__
        if len(self.tags) < 2:
            raise ValueError(f"{name}: tags must have at least 2 names; received {self.tags!r}.")
        if len(set(self.tags)) != len(self.tags) or not all(isinstance(tag, str) for tag in self.tags):
            raise ValueError(f"{name}: tags must be distinct names; received {self.tags!r}.")
        if self.scheme is not None:
            check_tags(self.tags, self.scheme, f"{name}: scheme")
        asked = [m for m in self.metrics or () if isinstance(m, str) and m != "accuracy"]
        if asked and self.scheme is None:
            raise ValueError(
                f"{name}: metric '{asked[0]}' counts entities, so it needs scheme=, one of "
                f"{', '.join(SCHEMES)}."
            )

    @property
    def units(self) -> int:
        return len(self.tags)

    @property
    def names(self) -> tuple[str, ...]:
        return self.tags

    def metric(self, name: str) -> keras.metrics.Metric:
        if name == "accuracy":
            return TokenAccuracy(name=name)
        if name in self.metric_names and self.scheme is not None:
            measure = name.removeprefix("strict_")
            scheme = self.scheme if name != measure else None
            return EntityScore(self.tags, measure, strict_scheme=scheme, name=name)
        return super().metric(name)

    def spans(self, tags: Tensor) -> dict[str, Tensor]:
        """Returns the entities that tags mark, by suffix; nothing without a scheme."""
        if self.scheme is None:
            return {}
        kinds, starts, ends = entity_spans(tags, EntityReader(self.tags))
        return {"span_type": kinds, "span_start": starts, "span_end": ends}

    @property
    def decoded_names(self) -> dict[str, tuple[str, ...]]:
        types = {} if self.scheme is None else {"span_type": EntityReader(self.tags).types}
        return {"": self.tags, **types}

    def labels(self, outputs: np.ndarray, layer: Any) -> np.ndarray:
        """Returns for each example the tuple of its tags' names, cut to its length."""
        answers = np.empty(len(outputs), object)
        for i, row in enumerate(np.asarray(layer.answers(ops.convert_to_tensor(outputs)))):
            answers[i] = tuple(self.tags[tag] for tag in row if tag != MISSING)
        return answers


class ChainHead(SequenceHead):
    """A sequence head whose tags depend on each other, so that its output is the scores of each step."""

    padding: ClassVar = IMPOSSIBLE / 2

    loss_per: str

    def validate(self) -> None:
        super().validate()
        if self.loss_per not in _LOSS_PER:
            raise unknown_name("value", self.loss_per, _LOSS_PER, f"loss_per= of {type(self).__name__}")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ChainHead:
        # What was saved before there was a choice.
        return super().from_config({"loss_per": "sequence", **config})

    @property
    def default_metrics(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("accuracy",) if self.scheme is None else ("accuracy", "f1")

    def check_label_weights(self, weights: np.ndarray, where: str) -> None:
        if not np.isin(weights, (0, 1)).all():
            raise ValueError(
                f"{where}: {type(self).__name__} scores a sequence as a whole, so that the weight of a token "
                "is 0 (its tag counts as not known) or 1. Give one weight a sequence, or take Tagging."
            )

    def activate(self, scores: Tensor) -> Tensor:
        return scores

    def invert(self, outputs: Tensor) -> Tensor:
        return outputs

    def loss(self, targets: Tensor, scores: Tensor, layer: Any) -> Tensor:
        mask = self.steps(scores)
        return layer.losses(ops.where(ops.expand_dims(mask, -1), scores, 0.0), targets, mask)

    def by_unit(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the losses of the sequences with any label, or spread over their labelled tokens."""
        if self.loss_per == "sequence":
            counted = ops.any(mask, axis=-1)
            return ops.where(counted, values, 0.0), counted
        tokens = ops.sum(ops.cast(mask, "float32"), axis=-1, keepdims=True)
        return ops.where(mask, ops.expand_dims(values, -1) / ops.maximum(tokens, 1.0), 0.0), mask
