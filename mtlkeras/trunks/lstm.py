"""LSTM."""

from __future__ import annotations

from mtlkeras.specs import spec, tunable
from mtlkeras.trunks._recurrent import RecurrentTrunk


@spec
class LSTM(RecurrentTrunk):
    """Stacked LSTM layers over embedded tokens (Hochreiter and Schmidhuber 1997).

    Each step knows what came before it. What the input may be, how tokens are embedded and the
    fields that all text trunks have are described in `mtlkeras.trunks.TextTrunk`.

    Args:
        units: Units of each layer.
        depth: Number of layers.
        recurrent_dropout: Rate of dropout of the state, the same units in all steps of a
            sequence (Gal and Ghahramani 2016). It keeps a GPU from using its fused kernel.
        pooling: How steps become the vector: by `"attention"`, by the `"last"` state,
            `"max"`, or `"mean"`.
        normalization: What is done to the steps before they are pooled: `"layer"` normalisation
            (Ba et al. 2016), or `None`.
        shortcut: Whether a token's embedding stands before its state in `sequence`, so that a head
            sees the word itself as well.

    `dropout` drops features of the embeddings and of each layer's output, the same ones in all
    steps of a sequence.

    Gives `sequence` of shape `(batch, time, embedded + units)` with its mask, where `embedded` is the
    width of the tap `embedding` (0 without `shortcut`), `vector` of shape `(batch, units)`, and the
    taps `embedding`, `lstm_1`, `lstm_2`, ...

    Raises:
        ValueError: If a field does not fit, or the input is none of tokens.

    Example:

    ```python
    trunk = mtlkeras.trunks.LSTM(units=64, vocabulary_size=1000)
    trunk(keras.Input((None,), dtype="int32")).vector.shape  # (None, 64)
    ```
    """

    units: int = tunable(200, 50, 100, 200, 300)
    depth: int = tunable(1, 1, 2, 3)
