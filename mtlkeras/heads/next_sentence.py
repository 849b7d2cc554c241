"""Whether one sentence comes after another."""

from __future__ import annotations

from mtlkeras.heads.classification import Classification
from mtlkeras.specs import spec


@spec
class NextSentence(Classification):
    """Tells whether the second sentence of a pair is the one that comes next in the text.

    Devlin et al. 2019, section 3.1, task 2: the second task that BERT is pre-trained on. A
    `mtlkeras.heads.Classification` of two classes, 0 `"IsNext"` and 1 `"NotNext"`.
    `mtlkeras.data.next_sentence_pairs` makes the pairs and their labels.

    Example:

    ```python
    head = mtlkeras.heads.NextSentence()
    ```
    """

    num_classes: int = 2
    class_names: tuple[str, ...] | None = ("IsNext", "NotNext")

    def validate(self) -> None:
        if self.num_classes != 2:
            raise ValueError(f"NextSentence has two classes; received num_classes={self.num_classes}.")
        super().validate()
