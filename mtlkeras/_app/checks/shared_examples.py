"""Examples of the test split that the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator

from mtlkeras._app.checks._labels import percent
from mtlkeras._app.checks.check import NOTE, WARNING, Check
from mtlkeras._app.checks.facts import Finding, RunFacts

MUCH = 0.01

SHARED = Check(
    "MTL010",
    "Training and test share examples",
    f"An input of the test split is in the training split too: a note below {MUCH:.0%} of the test examples, "
    "a warning from there on.",
)


def shared_examples(facts: RunFacts) -> Iterator[Finding]:
    """Finds test examples that are among the training examples.

    Short texts and rows of tables repeat by chance, and below 1% they move a score by less than 0.01; from
    there on the splits are not apart.
    """
    shared, total = facts.shared_examples, facts.test_examples
    if not shared:
        return
    share = shared / total if total else 1.0
    of_all = f" of {total} ({percent(share)})" if total else ""
    yield SHARED.finding(
        None,
        f"Inputs of the test split that are in the training split: {shared}{of_all}.",
        "Take out doubles before dividing; keep what belongs together (a person, a document) in one split.",
        WARNING if share >= MUCH else NOTE,
    )
