"""Data sets for several tasks: loading, describing, checking."""

from mtlkeras._missing import MISSING, UNSEEN
from mtlkeras.data._mix.mixture import Mixture, mixture
from mtlkeras.data.augmentation import augment
from mtlkeras.data.changes import CutOut, Flip, Shift
from mtlkeras.data.doubts import DataWarning
from mtlkeras.data.finite import check_finite
from mtlkeras.data.idx import find_idx, read_idx
from mtlkeras.data.keep_tasks import keep_tasks
from mtlkeras.data.labels import Label
from mtlkeras.data.load import load
from mtlkeras.data.mix import mix
from mtlkeras.data.mixing import CutMix, MixUp
from mtlkeras.data.moving import move_together
from mtlkeras.data.order import set_epoch
from mtlkeras.data.picture import read_pictures
from mtlkeras.data.pipeline import to_arrays
from mtlkeras.data.pretraining import MaskTokens, next_sentence_pairs
from mtlkeras.data.report import LoadReport, TaskReport, describe
from mtlkeras.data.schedules import (
    Alternating,
    Annealed,
    ByLoss,
    Proportional,
    Schedule,
    Temperature,
    Weighted,
)
from mtlkeras.data.statistics import TableStatistics, table_statistics
from mtlkeras.data.tag_encoder import Span, TagEncoder
from mtlkeras.heads._class_weights import balanced_class_weights
from mtlkeras.text import TextEncoder

__all__ = [
    "MISSING",
    "UNSEEN",
    "Alternating",
    "Annealed",
    "ByLoss",
    "CutMix",
    "CutOut",
    "DataWarning",
    "Flip",
    "Label",
    "LoadReport",
    "MaskTokens",
    "Mixture",
    "Proportional",
    "Schedule",
    "MixUp",
    "Shift",
    "Span",
    "TableStatistics",
    "TagEncoder",
    "TaskReport",
    "Temperature",
    "TextEncoder",
    "Weighted",
    "augment",
    "balanced_class_weights",
    "check_finite",
    "describe",
    "find_idx",
    "keep_tasks",
    "load",
    "mix",
    "mixture",
    "move_together",
    "read_idx",
    "read_pictures",
    "next_sentence_pairs",
    "set_epoch",
    "table_statistics",
    "to_arrays",
]
