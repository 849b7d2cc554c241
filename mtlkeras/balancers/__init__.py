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
from mtlkeras.balancers.graddrop import GradDrop
from mtlkeras.balancers.gradnorm import GradNorm
from mtlkeras.balancers.gradvac import GradVac
from mtlkeras.balancers.imtl_g import IMTLG
from mtlkeras.balancers.imtl_l import IMTLL
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
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancer",
    "GramBalancer",
    "IMTLG",
    "IMTLL",
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
    "Uncertainty",
    "Weighed",
]
