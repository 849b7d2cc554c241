"""Tags for a sequence as a whole."""

from __future__ import annotations

from mtlkeras._errors import unknown_name
from mtlkeras.heads.sequence import ChainHead
from mtlkeras.layers.sequence_output import CRFOutput
from mtlkeras.specs import spec

_CONSTRAIN = ("decoding", "training")


@spec
class CRFTagging(ChainHead):
    """Tags a sequence with a linear-chain CRF over the scores of its steps.

    The output is the scores, shape `(batch, time, tags)`, with rows of -1e30 where the trunk's
    mask has no token; `predict_labels`, `serve` and the metrics give the best sequence of tags
    (`mtlkeras.layers.CRF`). The task's loss is the mean over the labelled sequences of the
    batch of the negative log-likelihood. Labels are tag indices of shape `(batch, time)`, with
    `mtlkeras.MISSING` for padding; where a token's tag is not known, the likelihood is that of
    the tags that are.

    Args:
        tags: The tags' names, by index.
        scheme: `"BIO"` or `"BIOES"` (also written `"IOBES"`) if the tags mark entities, which
            the entity metrics then count; `None` for others, such as parts of speech.
        constrain: With a scheme, whether what it forbids is left out in `"decoding"` only, in
            `"training"` as well, or (`None`) never.
        loss_per: Whether the task's loss is the mean over labelled sequences (`"sequence"`), of which
            long ones weigh more, or their sum by the number of labelled tokens (`"token"`), which is of the
            size of a loss of `Tagging` or of a task of whole sentences beside it.

    Metrics: as of `Tagging`.

    Raises:
        ValueError: If the tags are not distinct, or not of the scheme.

    Example:

    ```python
    head = mtlkeras.heads.CRFTagging(("O", "B-city", "I-city"), scheme="BIO")
    ```
    """

    tags: tuple[str, ...]
    scheme: str | None = None
    constrain: str | None = "decoding"
    loss_per: str = "sequence"

    def validate(self) -> None:
        super().validate()
        if self.constrain is not None and self.constrain not in _CONSTRAIN:
            raise unknown_name("value", self.constrain, _CONSTRAIN, "constrain= of CRFTagging")
        if self.scheme is None:
            object.__setattr__(self, "constrain", None)  # There is nothing to hold to.

    def output_layer(self, task: str) -> CRFOutput:
        return CRFOutput(self, name=task)
