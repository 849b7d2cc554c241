"""Layers that models are made of."""

from mtlkeras.layers.adapters import LowRankUpdate, ResidualAdapter
from mtlkeras.layers.adaptive_pooling import AdaptivePooling
from mtlkeras.layers.batch_norm_per_source import BatchNormalizationPerSource
from mtlkeras.layers.beside import Beside
from mtlkeras.layers.characters import CharacterBiLSTM, CharacterCNN
from mtlkeras.layers.crf import CRF
from mtlkeras.layers.cross_stitch import CrossStitchUnit
from mtlkeras.layers.feature_attention import FeatureAttention
from mtlkeras.layers.gates import DSelectKGate, Gate, GateEntropy, SoftmaxGate
from mtlkeras.layers.gradient_fork import GradientFork
from mtlkeras.layers.grouped import GroupedConv2D
from mtlkeras.layers.hmm import HMM
from mtlkeras.layers.layer_mixture import LayerMixture
from mtlkeras.layers.local_response import LocalResponseNormalization
from mtlkeras.layers.low_rank_cells import LowRankGRUCell, LowRankLSTMCell
from mtlkeras.layers.mixture import Mixture
from mtlkeras.layers.ordinal_classes import OrdinalClasses, OrdinalMarginals
from mtlkeras.layers.orthogonality import Orthogonality
from mtlkeras.layers.output import OrdinalOutput, RegressionOutput, TaskOutput
from mtlkeras.layers.pooling import AttentionPooling, LastState, MaskedMax, MaskedMean
from mtlkeras.layers.preprocessing import CategoryIndex, ImagePreprocessing
from mtlkeras.layers.presence import Presence, ZeroWhereMissing
from mtlkeras.layers.resize_like import ResizeLike
from mtlkeras.layers.self_attention import SelfAttention
from mtlkeras.layers.sequence_mask import MaskedMaxPooling1D, MaskSteps
from mtlkeras.layers.sequence_output import ChainOutput, CRFOutput, HMMOutput, SequenceOutput
from mtlkeras.layers.special_tokens import AddSpecialTokens, WithoutSpecialTokens
from mtlkeras.layers.starting_point import StartingPoint
from mtlkeras.layers.text import EncodeText, TokenMask, UnknownTokens
from mtlkeras.layers.trunk_output import TrunkOutput
from mtlkeras.layers.word_vectors import WordVectors

__all__ = [
    "CRF",
    "CRFOutput",
    "HMM",
    "HMMOutput",
    "AdaptivePooling",
    "AddSpecialTokens",
    "AttentionPooling",
    "BatchNormalizationPerSource",
    "Beside",
    "CategoryIndex",
    "ChainOutput",
    "CharacterBiLSTM",
    "CharacterCNN",
    "DSelectKGate",
    "CrossStitchUnit",
    "EncodeText",
    "FeatureAttention",
    "Gate",
    "GateEntropy",
    "GradientFork",
    "GroupedConv2D",
    "ImagePreprocessing",
    "LastState",
    "LayerMixture",
    "LocalResponseNormalization",
    "LowRankGRUCell",
    "LowRankLSTMCell",
    "LowRankUpdate",
    "MaskedMax",
    "MaskSteps",
    "MaskedMaxPooling1D",
    "MaskedMean",
    "Mixture",
    "OrdinalClasses",
    "OrdinalMarginals",
    "OrdinalOutput",
    "Presence",
    "Orthogonality",
    "RegressionOutput",
    "ResidualAdapter",
    "ResizeLike",
    "SelfAttention",
    "SequenceOutput",
    "SoftmaxGate",
    "StartingPoint",
    "TaskOutput",
    "TokenMask",
    "TrunkOutput",
    "UnknownTokens",
    "WithoutSpecialTokens",
    "WordVectors",
    "ZeroWhereMissing",
]
