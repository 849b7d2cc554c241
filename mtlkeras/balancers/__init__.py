"""Balancers: how much each task weighs in a training step."""

from mtlkeras.balancers.aligned_mtl import AlignedMTL
from mtlkeras.balancers.base import (
    Balancer,
    Combined,
    ElementBalancer,
    GradientBalancer,
    GramBalancer,
    LossBalancer,
    PairBalancer,
    Problem,
    Weighed,
)
from mtlkeras.balancers.cagrad import CAGrad
from mtlkeras.balancers.conflict_free import ConFIG
from mtlkeras.balancers.cosmos import COSMOS
from mtlkeras.balancers.crmogm import CRMOGM
from mtlkeras.balancers.dbmtl import DBMTL
from mtlkeras.balancers.dualproj import DualProj
from mtlkeras.balancers.dwa import DWA
from mtlkeras.balancers.excess_mtl import ExcessMTL
from mtlkeras.balancers.fairgrad import FairGrad
from mtlkeras.balancers.famo import FAMO
from mtlkeras.balancers.fixed import Fixed
from mtlkeras.balancers.gls import GLS
from mtlkeras.balancers.go4align import GO4Align
from mtlkeras.balancers.graddrop import GradDrop
from mtlkeras.balancers.gradnorm import GradNorm
from mtlkeras.balancers.gradvac import GradVac
from mtlkeras.balancers.igb import IGB
from mtlkeras.balancers.imtl_g import IMTLG
from mtlkeras.balancers.imtl_l import IMTLL
from mtlkeras.balancers.ldc_mtl import LDCMTL
from mtlkeras.balancers.mgda import MGDA
from mtlkeras.balancers.moco import MoCo
from mtlkeras.balancers.modo import MoDo
from mtlkeras.balancers.nashmtl import NashMTL
from mtlkeras.balancers.pcgrad import PCGrad
from mtlkeras.balancers.rlw import RLW
from mtlkeras.balancers.sdmgrad import SDMGrad
from mtlkeras.balancers.stch import STCH
from mtlkeras.balancers.uncertainty import Uncertainty
from mtlkeras.balancers.upgrad import UPGrad
from mtlkeras.balancers.uw_so import UWSO
from mtlkeras.balancers.watch_gradients import WatchGradients

__all__ = [
    "AlignedMTL",
    "Balancer",
    "CAGrad",
    "COSMOS",
    "CRMOGM",
    "Combined",
    "ConFIG",
    "DBMTL",
    "DWA",
    "DualProj",
    "ElementBalancer",
    "ExcessMTL",
    "FAMO",
    "FairGrad",
    "Fixed",
    "GLS",
    "GO4Align",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancer",
    "GramBalancer",
    "IGB",
    "IMTLG",
    "IMTLL",
    "LDCMTL",
    "LossBalancer",
    "MGDA",
    "MoCo",
    "MoDo",
    "NashMTL",
    "PCGrad",
    "PairBalancer",
    "Problem",
    "RLW",
    "SDMGrad",
    "STCH",
    "UPGrad",
    "UWSO",
    "Uncertainty",
    "WatchGradients",
    "Weighed",
]
