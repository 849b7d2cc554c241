"""Tags for a sequence by a hidden Markov model over the steps' own scores."""

from __future__ import annotations

from mtlkeras.heads.sequence import ChainHead
from mtlkeras.layers.sequence_output import HMMOutput
from mtlkeras.specs import spec


@spec
class HMMTagging(ChainHead):
    """Tags a sequence with a hidden Markov model whose emissions come from the trunk.

    The trunk's scores give p(y_t | x_t) by a softmax over the tags. By Bayes' rule that is, but for
    a factor common to all tags, an emission probability p(x_t | y_t) = p(y_t | x_t) / p(y_t)
    (the hybrid of Bourlard and Morgan 1994, Connectionist Speech Recognition), which a chain of
    tags with locally normalised start and transition probabilities joins (`mtlkeras.layers.HMM`).
    Decoding maximises their product.

    The loss of a sequence is the negative joint log-likelihood of its tags and steps, with the prior
    p(y) of the tags held constant there, and the prior's own:

        -log start[y_1] prod_t transitions[y_(t-1), y_t] prod_t p(y_t | x_t) / p(y_t) - sum_t log p(y_t)

    So each part learns what it stands for: the trunk p(y_t | x_t), as with `Tagging`, the
    chain which tag follows which, and the prior how frequent each is, all by maximum
    likelihood. Where a tag is not known, the first term is summed over the tags it may be, and
    the second leaves it out. The task's loss is the mean over the labelled sequences of the batch.

    The output is the scores, shape `(batch, time, tags)`, with rows of -1e30 where the trunk's
    mask has no token; `predict_labels`, `serve` and the metrics give the best sequence of tags.
    Labels are tag indices of shape `(batch, time)`, with `mtlkeras.MISSING` for padding and for
    what is not known. A chain that may be trained as a whole, and held to a scheme, is that of
    `CRFTagging`.

    Args:
        tags: The tags' names, by index.
        scheme: `"BIO"` or `"BIOES"` (also written `"IOBES"`) if the tags mark entities, which
            the entity metrics then count; `None` for others, such as parts of speech.
        final: Whether a sequence ends by a transition of its own, whose probability counts.
        loss_per: Whether the task's loss is the mean over labelled sequences (`"sequence"`), of which
            long ones weigh more, or their sum by the number of labelled tokens (`"token"`), which is of the
            size of a loss of `Tagging` or of a task of whole sentences beside it.

    Metrics: as of `Tagging`.

    Raises:
        ValueError: If the tags are not distinct, or not of the scheme.

    Example:

    ```python
    head = mtlkeras.heads.HMMTagging(("NOUN", "VERB", "DET"), final=True)
    ```
    """

    tags: tuple[str, ...]
    scheme: str | None = None
    final: bool = False
    loss_per: str = "sequence"

    def output_layer(self, task: str) -> HMMOutput:
        return HMMOutput(self, name=task)
