"""Entity scores against seqeval, on random tags whether they keep to a scheme or not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mtlkeras
from mtlkeras.metrics import EntityScore, ExactMatch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from seqeval import metrics as seqeval
    from seqeval.scheme import IOB2, IOBES

TAGS = {
    "BIO": ("O", "B-a", "I-a", "B-b", "I-b"),
    "BIOES": ("O", "B-a", "I-a", "E-a", "S-a", "B-b", "I-b", "E-b", "S-b"),
}
MEASURES = {"precision": "precision_score", "recall": "recall_score", "f1": "f1_score"}


def examples(tags, seed, rows=40, time=9):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(tags), (rows, time))
    predicted = np.where(rng.random((rows, time)) < 0.7, truth, rng.integers(0, len(tags), (rows, time)))
    mask = np.arange(time) < rng.integers(0, time + 1, rows)[:, None]
    return truth, predicted, mask


def names(ids, mask, tags):
    return [[tags[i] for i in row[there]] for row, there in zip(ids, mask, strict=True)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("scheme", TAGS)
def test_equals_seqeval(scheme, strict):
    tags = TAGS[scheme]
    options = {"mode": "strict", "scheme": {"BIO": IOB2, "BIOES": IOBES}[scheme]} if strict else {}
    metrics = {m: EntityScore(tags, m, strict_scheme=scheme if strict else None) for m in MEASURES}
    counting = metrics["f1"]
    for seed in range(3):
        truth, predicted, mask = examples(tags, seed)
        counting.reset_state()
        for part in (slice(0, 20), slice(20, 40)):  # Totals over batches.
            counting.update_state(truth[part], predicted[part], sample_weight=mask[part].astype("float32"))
        known = names(truth, mask, tags), names(predicted, mask, tags)
        for measure, metric in metrics.items():
            metric.counts.assign(counting.counts)  # Which are the same for each measure.
            expected = getattr(seqeval, MEASURES[measure])(*known, **options)
            np.testing.assert_allclose(float(metric.result()), expected, atol=1e-6, err_msg=measure)


def test_padding_at_the_beginning_changes_nothing():
    tags = TAGS["BIO"]
    truth, predicted, mask = examples(tags, 0)
    metric, moved = EntityScore(tags), EntityScore(tags)
    metric.update_state(truth, predicted, mask.astype("float32"))
    places = np.argsort(mask, axis=1, kind="stable")
    moved.update_state(
        *(np.take_along_axis(x, places, 1) for x in (truth, predicted, mask.astype("float32")))
    )
    assert float(metric.result()) == float(moved.result()) > 0


def test_exact_match_wants_every_task_and_token():
    metric = ExactMatch(("kind", "tags"))
    labels = {"kind": np.array([0, 1, 1, 2]), "tags": np.array([[1, 2], [1, -1], [0, 0], [0, 1]])}
    answers = {"kind": np.array([0, 1, 0, 2]), "tags": np.array([[1, 2], [1, 0], [0, 0], [0, 0]])}
    known = {task: y >= 0 for task, y in labels.items()}
    metric.update_state(labels, answers, known)
    assert float(metric.result()) == 0.5
    known["kind"] = np.array([True, False, True, True])  # The second counts no more.
    metric.reset_state()
    metric.update_state(labels, answers, known)
    np.testing.assert_allclose(float(metric.result()), 1 / 3, rtol=1e-6)
    # Judged by what is known, it counts, and the fourth is right where its tags are not known.
    partial = ExactMatch.from_config(ExactMatch(("kind", "tags"), known_only=True).get_config())
    known["tags"][3] = False
    partial.update_state(labels, answers, known)
    assert float(partial.result()) == 0.75


def test_encoder_turns_names_into_ids_and_spans():
    encoder = mtlkeras.data.TagEncoder(TAGS["BIOES"], scheme="BIOES")
    sentences = [["O", "B-a", "E-a"], ["S-b"], []]
    ids = encoder.encode(sentences)
    np.testing.assert_array_equal(ids, [[0, 1, 3], [8, -1, -1], [-1, -1, -1]])
    assert encoder.decode(ids) == [tuple(tags) for tags in sentences]
    assert encoder.spans(["I-a", "I-a", "I-b", "O", "B-b", "E-b", "S-a"]) == [
        ("a", 0, 2),
        ("b", 2, 3),
        ("b", 4, 6),
        ("a", 6, 7),
    ]
    with pytest.raises(ValueError, match="Unknown tag 'B-c' at place 1 of sequence 0. Did you mean"):
        encoder.encode([["O", "B-c"]])
    with pytest.raises(ValueError, match="Sequence 0 has 3 tags, which is over length=2"):
        encoder.encode(sentences, length=2)


@pytest.mark.filterwarnings("ignore")
def test_spans_are_those_of_seqeval():
    for scheme, tags in TAGS.items():
        encoder = mtlkeras.data.TagEncoder(tags, scheme)
        for row in examples(tags, 3)[0]:
            sentence = [tags[i] for i in row]
            expected = [
                (kind, begin, last + 1)
                for kind, begin, last in seqeval.sequence_labeling.get_entities(sentence)
            ]
            assert encoder.spans(sentence) == expected
