"""Each field of each public spec, by its annotation: in what form it may be written, and what is refused."""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import json
import math
import types
import typing
from typing import Any

import keras
import numpy as np
import pytest

import mtlkeras
from mtlkeras.specs import Spec

# What has no default, and values that are not `None` or empty, so that there is something to write.
NETWORK = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="first")], name="network")
EXAMPLES: dict[str, dict[str, Any]] = {
    "Classification": {
        "num_classes": 2,
        "class_names": ("a", "b"),
        "class_weight": {0: 2.0, "b": 0.5},
        "hidden": (16,),
        "metrics": ("accuracy",),
        "at": "conv",
    },
    "MultiLabel": {"num_labels": 2, "label_names": ("a", "b"), "positive_weight": (1.0, 3.0)},
    "Ordinal": {"num_classes": 3, "class_names": ("a", "b", "c"), "class_weight": {2: 2.0}},
    "Regression": {"num_targets": 2, "mean": (1.0, 2.0), "scale": (3.0, 0.5), "hidden": (8, 4)},
    "Segmentation": {"num_classes": 3, "class_names": ("a", "b", "c"), "taps": ("conv",), "size": (4, 6)},
    "DenseRegression": {"num_targets": 2, "mean": (1.0, 2.0), "taps": ("conv",)},
    "Tagging": {"tags": ("O", "B-a", "I-a"), "scheme": "BIO", "class_weight": {"O": 0.5}},
    "CRFTagging": {"tags": ("O", "B-a", "I-a"), "scheme": "BIO"},
    "HMMTagging": {"tags": ("O", "B-a", "I-a"), "final": True},
    "MaskedToken": {"vocabulary_size": 9},
    "MaskTokens": {"mask_id": 2, "vocabulary_size": 9},
    "MixUp": {"heads": {"a": mtlkeras.heads.Classification(2)}},
    "CutMix": {"heads": {"a": mtlkeras.heads.Classification(2)}},
    "Label": {"column": ("a", "b"), "missing": ("?",), "pattern": "(x)"},
    "TextEncoder": {"vocabulary": ("a", "b"), "counts": (3, 1), "alphabet": ("a",), "max_length": 4},
    "MLP": {
        "categories": {"c": ("x", "y"), "d": 3},
        "mean": {"a": 2.0, "b": (1.0, 2.0)},
        "scale": {"a": 2.0},
        "embedding_units": 4,
    },
    "SharedProjection": {
        "units": 8,
        "trunk": mtlkeras.trunks.MLP(depth=1, width=4),
        "encoders": {"photo": mtlkeras.trunks.ResNet(8)},
        "present": {"photo": ("source", 1)},
        "categories": {"c": ("x", "y"), "d": 3},
        "mean": {"a": 2.0},
        "scale": {"a": 2.0},
        "embedding_units": 4,
    },
    "Staged": {"model": NETWORK, "cuts": ("first",)},
    "Pretrained": {"name": "EfficientNetB0", "options": {"alpha": 0.5}},
    "BERT": {"vocabulary_size": 9},
    "BiLSTM": {"vocabulary_size": 9, "seed": 3},
    "LSTM": {"vocabulary_size": 9},
    "DPCNN": {"vocabulary_size": 9},
    "CNNAttention": {"vocabulary_size": 9},
    "ResNet": {"width": 16, "use_bias": True},
    "CrossStitch": {"stages": ("stage_1",)},
    "Branching": {"at": "stage_1", "groups": (("a", "b"), ("c",))},
    "TaskChain": {"order": ("a", "b")},
    "Phase": {"train": ("heads", "a"), "optimizer": "sgd", "learning_rate": 0.5, "loss_weights": {"a": 2.0}},
    "Proportional": {"maximum": 9},
    "Temperature": {"maximum": 9},
    "Weighted": {"weights": {"a": 2.0, "b": 0.5}},
    "Annealed": {"start": mtlkeras.data.Proportional(), "end": mtlkeras.data.Temperature(), "epochs": 3},
    "Fixed": {"weights_by_task": {"a": 2.0, "b": 0.5}},
    "COSMOS": {"preference": (0.25, 0.75)},
    "GradDrop": {"seed": 3},
    "MGDA": {"at": "parameters", "layers": ("one",), "every": 2},
}
PACKAGES = ("heads", "trunks", "sharing", "dependence", "balancers", "data", "training")


def public_specs() -> list[type]:
    found = [mtlkeras.data.TextEncoder]
    for name in PACKAGES:
        module = importlib.import_module(f"mtlkeras.{name}")
        found += [value for value in vars(module).values() if inspect.isclass(value)]
    concrete = {
        c for c in found if issubclass(c, Spec) and "__init__" in vars(c) and not inspect.isabstract(c)
    }
    # Bases, which are no specs of their own, are not registered.
    return sorted(
        (c for c in concrete if keras.saving.get_registered_name(c) != c.__name__), key=lambda c: c.__name__
    )


SPECS = public_specs()


def example(cls: type) -> Spec:
    return cls(**EXAMPLES.get(cls.__name__, {}))


def hint_of(cls: type, field: str) -> tuple[Any, ...]:
    """The options of an annotation."""
    hint = typing.get_type_hints(cls)[field]
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if union else (hint,)


def forms(value: Any) -> list[Any]:
    """The same value as people write it."""
    import pandas as pd

    if isinstance(value, bool):
        return [np.bool_(value), np.array(value)]
    if isinstance(value, int):
        return [np.int64(value), np.int16(value), np.array(value)]
    if isinstance(value, float):
        exact = [np.float32(value)] if float(np.float32(value)) == value else []
        return [np.float64(value), np.array(value), *exact]
    if isinstance(value, str):
        return [np.str_(value), np.array(value)]
    if isinstance(value, dict):
        keys = {k: forms(k)[0] for k in value}
        written = {k: forms(v) or [v] for k, v in value.items()}  # A spec within has one form only.
        return [{keys[k]: w[0] for k, w in written.items()}, {k: w[-1] for k, w in written.items()}]
    if not isinstance(value, tuple):
        return []
    if all(isinstance(v, (str, int, float)) for v in value):
        listed = [
            list(value),
            np.array(value),
            np.array(value, object),
            pd.Index(value),
            pd.Series(value),
            dict.fromkeys(value).keys(),
            [forms(v)[0] for v in value],
        ]
        return [form for form in listed if len(form) == len(value)]  # Keys are distinct.
    return [list(value)]


def test_there_are_specs_of_every_kind():
    names = {cls.__name__ for cls in SPECS}
    assert {"Classification", "ResNet", "HardSharing", "MGDA", "Label", "MaskTokens", "TextEncoder"} <= names
    assert len(names) > 45 and set(EXAMPLES) <= names


@pytest.mark.parametrize("cls", SPECS, ids=lambda c: c.__name__)
def test_every_form_of_a_value_makes_the_same_spec(cls):
    plain = example(cls)
    names = {
        **vars(mtlkeras.data),
        **vars(mtlkeras.balancers),
        **vars(mtlkeras.trunks),
        **vars(mtlkeras.heads),
        cls.__name__: cls,
        "network": NETWORK,
    }
    for field in cls.field_names():
        value = getattr(plain, field)
        written = forms(value)
        series = hint_of(cls, field)
        if (
            isinstance(value, tuple)
            and len(value) == 1
            and any(typing.get_origin(h) is tuple for h in series)
        ):
            written += value if field in ("hidden", "metrics") else []
        for form in written:
            made = cls(**{**EXAMPLES.get(cls.__name__, {}), field: form})
            assert made == plain and hash(made) == hash(plain), (field, form)
            assert repr(made) == repr(plain) and eval(repr(made), dict(names)) == plain
            config = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
            assert keras.saving.deserialize_keras_object(config) == plain, (field, form)


WRONG = {
    int: ["three", 3.5, True, math.nan, math.inf, 1j, b"3", (1, 2), {"a": 1}, object()],
    float: ["x", True, math.nan, -math.inf, 1j, {"a": 1.0}, object()],
    str: [3, 2.5, True, b"x", {"a": 1}, object()],
    bool: [3, 0.5, "yes", (True,), object()],
}


def wrong_values(options: tuple[Any, ...]) -> list[Any]:
    """Values that fit none of an annotation's options."""
    kinds = [h for h in options if h is not types.NoneType]
    if Any in kinds:
        return []
    if len(kinds) == 1 and kinds[0] in WRONG:
        none = [] if types.NoneType in options else [None]
        return WRONG[kinds[0]] + none
    if len(kinds) == 1 and typing.get_origin(kinds[0]) is tuple:
        entry = typing.get_args(kinds[0])[0]
        whole = [{"a": 1}, {1.5, 2.5}]
        if typing.get_origin(entry) is tuple:
            longer = [] if Ellipsis in typing.get_args(entry) else [(("a", "b", "c"),)]
            return [*whole, ("a",), ((1, "b"),), *longer]
        return whole if entry is Any else [*whole, *[(value,) for value in WRONG[entry]]]
    if all(typing.get_origin(h) is None and isinstance(h, type) and h not in WRONG for h in kinds):
        return [3, "x", (1,)]  # A dict, or an instance of a class.
    if any(typing.get_origin(h) is collections.abc.Sequence for h in kinds):
        return [{1.5, 2.5}] if len(kinds) == 1 else [object()]
    return [object()]


@pytest.mark.parametrize("cls", SPECS, ids=lambda c: c.__name__)
def test_every_wrong_type_is_refused_by_name(cls):
    given = EXAMPLES.get(cls.__name__, {})
    for field in cls.field_names():
        symbolic = keras.KerasTensor((2,))
        for wrong in (*wrong_values(hint_of(cls, field)), symbolic, (symbolic,)):
            with pytest.raises(ValueError) as error:
                cls(**{**given, field: wrong})
            assert str(error.value).startswith(f"{cls.__name__}: {field} must be "), (field, wrong)
            assert "received" in str(error.value)


@pytest.mark.parametrize("cls", SPECS, ids=lambda c: c.__name__)
def test_a_misspelt_field_is_named(cls):
    given = EXAMPLES.get(cls.__name__, {})
    for field in cls.field_names():
        with pytest.raises(
            ValueError, match=f"Unknown field '{field}_' in {cls.__name__}.*Did you mean '{field}'"
        ):
            cls(**{**given, f"{field}_": 1})
    assert (
        list(inspect.signature(cls).parameters) == list(inspect.signature(cls.__init__).parameters)[1:]
    )  # The constructor still tells what it takes.


def out_of_range(options: tuple[Any, ...]) -> list[Any]:
    return (
        [-1] if int in options else [-1.0] if float in options else ["no such name"] if str in options else []
    )


# Fields in which any number or text is right, or whose names only the data or the trunk can tell.
ANY_VALUE = {
    "seed", "at", "mean", "task", "column", "separator", "pattern", "split", "weights", "name", "vectors",
    "log_variance", "log_scale", "ideal", "gate_sees", "train", "data", "monitor",
}  # fmt: skip


@pytest.mark.parametrize("cls", SPECS, ids=lambda c: c.__name__)
def test_every_value_out_of_range_is_refused_by_name(cls):
    given = EXAMPLES.get(cls.__name__, {})
    for field in cls.field_names():
        for wrong in out_of_range(hint_of(cls, field)):
            if field in ANY_VALUE and not (field == "at" and issubclass(cls, mtlkeras.balancers.Balancer)):
                continue
            with pytest.raises(ValueError) as error:
                cls(**{**given, field: wrong})
            text = str(error.value)
            assert cls.__name__ in text and field in text and str(wrong) in text, (field, wrong, text)
    if "hidden" in cls.field_names():
        with pytest.raises(ValueError, match=f"{cls.__name__}: hidden .* received .8, 0"):
            cls(**{**given, "hidden": (8, 0)})
