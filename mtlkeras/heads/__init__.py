"""Heads: one task's output with its loss, metrics and decoding."""

from mtlkeras.heads.base import Head
from mtlkeras.heads.classification import Classification
from mtlkeras.heads.crf_tagging import CRFTagging
from mtlkeras.heads.dense_regression import DenseRegression
from mtlkeras.heads.hmm_tagging import HMMTagging
from mtlkeras.heads.masked_token import MaskedToken
from mtlkeras.heads.multi_label import MultiLabel
from mtlkeras.heads.next_sentence import NextSentence
from mtlkeras.heads.ordinal import Ordinal
from mtlkeras.heads.regression import Regression
from mtlkeras.heads.segmentation import Segmentation
from mtlkeras.heads.sequence import ChainHead, SequenceHead, StepHead
from mtlkeras.heads.tagging import Tagging

__all__ = [
    "ChainHead",
    "SequenceHead",
    "StepHead",
    "CRFTagging",
    "Classification",
    "DenseRegression",
    "HMMTagging",
    "Head",
    "MaskedToken",
    "MultiLabel",
    "NextSentence",
    "Ordinal",
    "Regression",
    "Segmentation",
    "Tagging",
]
