"""Recurrent layers as layers of cells whose recurrent kernels are products of two."""

from __future__ import annotations

from typing import Any

import keras

from mtlkeras.layers import LowRankGRUCell, LowRankLSTMCell

RECURRENT = (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM)
_CELLS = {keras.layers.LSTM: LowRankLSTMCell, keras.layers.GRU: LowRankGRUCell}


def directions(layer: Any) -> list[Any]:
    """Returns the recurrent layers in a layer: itself, the two of a bidirectional one, or none."""
    parts = [layer]
    if type(layer) is keras.layers.Bidirectional:
        parts = [layer.forward_layer, layer.backward_layer]
    return parts if all(type(part) in RECURRENT for part in parts) else []


def refusal(layer: Any) -> str | None:
    """Returns why the recurrent kernels of a layer cannot be products, or `None`."""
    parts = directions(layer)
    if not parts:
        return "has no recurrent kernel"
    for part in parts:
        if type(part) not in _CELLS:
            return (
                f"cannot have its recurrent kernel factorised: it is no LSTM or GRU but {type(part).__name__}"
            )
        if part.dropout or part.recurrent_dropout:
            return "cannot have its recurrent kernel factorised: it has dropout within"
        if not getattr(part, "reset_after", True):
            return "cannot have its recurrent kernel factorised: it resets before the kernel"
    return None


def with_ranks(layer: Any, entry: dict[str, Any], ranks: list[int]) -> None:
    """Changes the entry of a layer in a config into one of cells with ranks, one for each direction."""
    made = [
        keras.saving.serialize_keras_object(_layer(part, rank))
        for part, rank in zip(directions(layer), ranks, strict=True)
    ]
    if type(layer) is keras.layers.Bidirectional:
        entry["config"]["layer"], entry["config"]["backward_layer"] = made
    else:
        entry.update({key: made[0][key] for key in ("module", "class_name", "registered_name", "config")})


def _layer(layer: Any, rank: int) -> Any:
    """Returns a layer as another one with the rank, which was not built."""
    cell = _CELLS[type(layer)](
        layer.units,
        rank,
        activation=layer.activation,
        recurrent_activation=layer.recurrent_activation,
        use_bias=layer.use_bias,
        kernel_regularizer=layer.kernel_regularizer,
        recurrent_regularizer=layer.recurrent_regularizer,
        bias_regularizer=layer.bias_regularizer,
        dtype=layer.dtype_policy,
        name=layer.cell.name,
    )
    return keras.layers.RNN(
        cell,
        return_sequences=layer.return_sequences,
        return_state=layer.return_state,
        go_backwards=layer.go_backwards,
        stateful=layer.stateful,
        unroll=layer.unroll,
        zero_output_for_mask=layer.zero_output_for_mask,
        activity_regularizer=layer.activity_regularizer,
        dtype=layer.dtype_policy,
        trainable=layer.trainable,
        name=layer.name,
    )
