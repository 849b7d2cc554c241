"""Trunks: the shared bodies of models."""

from mtlkeras.trunks._apart import apart
from mtlkeras.trunks._text import TextTrunk, TokenTrunk
from mtlkeras.trunks.alexnet import AlexNet
from mtlkeras.trunks.base import Trunk
from mtlkeras.trunks.bert import BERT
from mtlkeras.trunks.bilstm import BiLSTM
from mtlkeras.trunks.cnn_attention import CNNAttention
from mtlkeras.trunks.dpcnn import DPCNN
from mtlkeras.trunks.googlenet import GoogLeNet
from mtlkeras.trunks.image import ImageTrunk
from mtlkeras.trunks.lstm import LSTM
from mtlkeras.trunks.mlp import MLP
from mtlkeras.trunks.pretrained import Pretrained
from mtlkeras.trunks.resnet import ResNet
from mtlkeras.trunks.shared_projection import SharedProjection
from mtlkeras.trunks.staged import Staged
from mtlkeras.trunks.stages import Flow, Stage
from mtlkeras.trunks.vgg import VGG

__all__ = [
    "BERT",
    "DPCNN",
    "LSTM",
    "MLP",
    "VGG",
    "AlexNet",
    "BiLSTM",
    "CNNAttention",
    "Flow",
    "GoogLeNet",
    "ImageTrunk",
    "Pretrained",
    "ResNet",
    "SharedProjection",
    "Stage",
    "Staged",
    "TextTrunk",
    "TokenTrunk",
    "Trunk",
    "apart",
]
