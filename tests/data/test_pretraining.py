"""Hidden tokens and pairs of sentences: shares, what is never chosen, and that draws repeat."""

import numpy as np
import pytest

from mtlkeras.data import MaskTokens, augment, load, next_sentence_pairs, set_epoch


def test_shares_are_those_of_the_paper():
    ids = np.tile(np.arange(2, 102, dtype="int32"), (400, 1))
    ids[:, 90:] = 0
    seen, labels = MaskTokens(mask_id=102, vocabulary_size=102)(ids, {}, seed=1)
    seen, chosen = np.asarray(seen), np.asarray(labels["masked_token"]) >= 0
    total = 400 * 90
    for share, expected, count in (
        (chosen.sum() / total, 0.15, total),
        ((seen == 102).sum() / chosen.sum(), 0.8, chosen.sum()),
        ((chosen & (seen == ids)).sum() / chosen.sum(), 0.1 + 0.1 / 100, chosen.sum()),
    ):
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count)
    assert not chosen[:, 90:].any() and (seen[:, 90:] == 0).all()
    np.testing.assert_array_equal(seen[~chosen], ids[~chosen])
    np.testing.assert_array_equal(np.asarray(labels["masked_token"])[chosen], ids[chosen])
    assert (seen[chosen] >= 2).all()


def test_other_tokens_in_each_epoch_and_the_same_after_a_return():
    ids = np.random.default_rng(0).integers(2, 50, (64, 9)).astype("int32")
    data = augment(
        load({"ids": ids, "y": np.zeros(64, int)}, {"y": "y"}, "ids", batch_size=16, shuffle=False),
        MaskTokens(50, 50),
        seed=4,
    )

    def epoch():
        return np.concatenate([y["masked_token"] for _, y in data])

    set_epoch(data, 0)
    first, second = epoch(), epoch()
    assert (first != second).any()
    set_epoch(data, 1)
    np.testing.assert_array_equal(epoch(), second)


def test_pairs_of_inputs_have_the_labels_of_both():
    x = {"first": np.full((3, 4), 5, "int32"), "second": np.full((3, 2), 6, "int32")}
    seen, labels = MaskTokens(9, 8, rate=1.0)(x, {"other": 1}, seed=0)
    assert list(seen) == ["first", "second"] and labels["other"] == 1
    np.testing.assert_array_equal(labels["masked_token"], [[5, 5, 5, 5, 6, 6]] * 3)


def test_half_of_the_pairs_follow_each_other():
    documents = [[(d, s) for s in range(30)] for d in range(60)]
    first, second, label = next_sentence_pairs(documents, seed=2)
    assert len(first) == 60 * 29 and abs(label.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(label))
    for (a, i), (b, j), answer in zip(first, second, label, strict=True):
        assert (a, i + 1) == (b, j) if answer == 0 else a != b
    again = next_sentence_pairs(documents, seed=2)
    np.testing.assert_array_equal(again[2], label)
    strange = [b for (b, _), answer in zip(second, label, strict=True) if answer]
    assert len(set(strange)) > 55


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="at least two documents; received 1"):
        next_sentence_pairs([["a", "b"], []])
    with pytest.raises(ValueError, match=r"rate must be in \(0, 1\]; received 1.5"):
        MaskTokens(3, 4, rate=1.5)
