"""Layers that models are made of."""

from mtlkeras.layers.beside import Beside
from mtlkeras.layers.characters import CharacterBiLSTM, CharacterCNN
from mtlkeras.layers.crf import CRF
from mtlkeras.layers.cross_stitch import CrossStitchUnit
from mtlkeras.layers.gradient_fork import GradientFork
from mtlkeras.layers.grouped import GroupedConv2D
from mtlkeras.layers.hmm import HMM
from mtlkeras.layers.layer_mixture import LayerMixture
from mtlkeras.layers.local_response import LocalResponseNormalization
from mtlkeras.layers.mixture import Mixture
from mtlkeras.layers.output import OrdinalOutput, RegressionOutput, TaskOutput
from mtlkeras.layers.pooling import AttentionPooling, LastState, MaskedMax, MaskedMean
from mtlkeras.layers.preprocessing import CategoryIndex, ImagePreprocessing
from mtlkeras.layers.self_attention import SelfAttention
from mtlkeras.layers.sequence_mask import MaskedMaxPooling1D, MaskSteps
from mtlkeras.layers.sequence_output import ChainOutput, CRFOutput, HMMOutput, SequenceOutput
from mtlkeras.layers.special_tokens import AddSpecialTokens, WithoutSpecialTokens
from mtlkeras.layers.text import EncodeText, TokenMask, UnknownTokens
from mtlkeras.layers.trunk_output import TrunkOutput
from mtlkeras.layers.word_vectors import WordVectors

__all__ = [
    "CRF",
    "CRFOutput",
    "HMM",
    "HMMOutput",
    "AddSpecialTokens",
    "AttentionPooling",
    "Beside",
    "CategoryIndex",
    "ChainOutput",
    "CharacterBiLSTM",
    "CharacterCNN",
    "CrossStitchUnit",
    "EncodeText",
    "GradientFork",
    "GroupedConv2D",
    "ImagePreprocessing",
    "LastState",
    "LayerMixture",
    "LocalResponseNormalization",
    "MaskedMax",
    "MaskSteps",
    "MaskedMaxPooling1D",
    "MaskedMean",
    "Mixture",
    "OrdinalOutput",
    "RegressionOutput",
    "SelfAttention",
    "SequenceOutput",
    "TaskOutput",
    "TokenMask",
    "TrunkOutput",
    "UnknownTokens",
    "WithoutSpecialTokens",
    "WordVectors",
]
