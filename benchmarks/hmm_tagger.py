"""A bigram hidden Markov model as a part-of-speech tagger: what counting alone reaches on UD English EWT.

python benchmarks/hmm_tagger.py [--data-dir DIR]

The words that training has once are replaced by what their form tells (digits, capital, last letters), and
so is every word that is not known. Smoothing and the length of the endings are chosen on the validation
split; the test split is looked at once. Prints the accuracy of UPOS, beside that of the most frequent tag of
each word.
"""

from __future__ import annotations

import argparse
import collections
import sys

import numpy as np

import mtlkeras
from mtlkeras.data import Label, TagEncoder
from mtlkeras.layers import HMM

COLUMNS = ("form", "lemma", "upos", "xpos", "feats", "head", "deprel")
ENDINGS = (1, 2, 3)
SMOOTHINGS = (0.003, 0.03, 0.3)


def read(split, data_dir):
    """Returns the words and the tags of each sentence."""
    data = mtlkeras.data.load(
        f"ud-english-ewt/{split}.tsv.gz",
        columns=COLUMNS,
        tasks={"upos": Label("upos", kind="tags")},
        inputs="form",
        split=None,
        shuffle=False,
        batch_size=1000,
        data_dir=data_dir,
        verbose=False,
    )
    names = mtlkeras.data.describe(data).tasks["upos"].classes
    words, labels = mtlkeras.data.to_arrays(data)
    return (
        [[word.decode() for word in row if word] for row in words],
        [[names[tag] for tag in row if tag >= 0] for row in labels["upos"]],
    )


def form(word, ending):
    """What can be told of a word that is not known."""
    if any(letter.isdigit() for letter in word):
        return "<number>"
    return f"<{'Upper' if word[:1].isupper() else 'lower'}-{word[-ending:].lower()}>"


class Symbols:
    """The symbols of words: the words that training has at least twice, and the forms of the others."""

    def __init__(self, sentences, ending):
        counts = collections.Counter(word for words in sentences for word in words)
        known = {word if counts[word] > 1 else form(word, ending) for word in counts}
        self.ids = {symbol: number for number, symbol in enumerate(sorted(known))}
        self.ending = ending

    def encode(self, sentences):
        """Returns ids padded with -1, which are also those of forms that are new, and the mask."""
        rows = np.full((len(sentences), max(map(len, sentences))), -1)
        for row, words in zip(rows, sentences, strict=True):
            row[: len(words)] = [self.ids.get(w, self.ids.get(form(w, self.ending), -1)) for w in words]
        return rows, np.arange(rows.shape[1]) < np.array([len(words) for words in sentences])[:, None]


def accuracy(tagger, symbols, coder, words, tags):
    """Returns the share of right tags, in percent."""
    ids, mask = symbols.encode(words)
    best, _ = tagger.decode(ids, mask)
    known = coder.encode(tags, length=ids.shape[1])
    return 100 * float((np.asarray(best) == known)[mask].mean())


def most_frequent(train, test):
    """Returns the accuracy of the most frequent tag of each word, else of all, in percent."""
    counts = collections.defaultdict(collections.Counter)
    for words, tags in zip(*train, strict=True):
        for word, tag in zip(words, tags, strict=True):
            counts[word][tag] += 1
    commonest = collections.Counter(tag for tags in train[1] for tag in tags).most_common(1)[0][0]
    pairs = [(w, t) for words, tags in zip(*test, strict=True) for w, t in zip(words, tags, strict=True)]
    right = sum((counts[w].most_common(1)[0][0] if w in counts else commonest) == t for w, t in pairs)
    return 100 * right / len(pairs)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder of data sets; default MTLKERAS_DATA")
    options = parser.parse_args(arguments)
    train, valid, test = (read(split, options.data_dir) for split in ("train", "dev", "test"))
    coder = TagEncoder(sorted({tag for tags in train[1] for tag in tags}))
    found = []
    for ending in ENDINGS:
        symbols = Symbols(train[0], ending)
        ids, mask = symbols.encode(train[0])
        states = coder.encode(train[1], length=ids.shape[1])
        for smoothing in SMOOTHINGS:
            tagger = HMM(len(coder.tags), num_symbols=len(symbols.ids), final=True)
            tagger.fit_supervised(ids, states, mask, smoothing=0.1, emission_smoothing=smoothing)
            score = accuracy(tagger, symbols, coder, *valid)
            print(f"endings of {ending}, smoothing {smoothing}: valid {score:.2f}")
            found.append((score, tagger, symbols))
    _, tagger, symbols = max(found, key=lambda entry: entry[0])
    print("python benchmarks/hmm_tagger.py", *(sys.argv[1:] if arguments is None else arguments))
    print(f"UPOS, test: bigram HMM {accuracy(tagger, symbols, coder, *test):.2f} %")
    print(f"UPOS, test: most frequent tag of each word {most_frequent(train, test):.2f} %")


if __name__ == "__main__":
    main()
