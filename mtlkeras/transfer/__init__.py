"""From one model to another."""

from mtlkeras.transfer.copy_weights import copy_weights
from mtlkeras.transfer.distil import distil
from mtlkeras.transfer.few_labels import FewLabels, few_labels
from mtlkeras.transfer.l2sp import L2SP
from mtlkeras.transfer.probe import Probes, probe
from mtlkeras.transfer.reuse_trunk import reuse_trunk

__all__ = ["L2SP", "FewLabels", "Probes", "copy_weights", "distil", "few_labels", "probe", "reuse_trunk"]
