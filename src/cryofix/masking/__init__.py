"""Masking policies: which of the teacher's pixels the student believes, and how much."""

from cryofix.masking.alignment import AdaMatch, Debiased, LogitAdjusted
from cryofix.masking.equivalence import Equivalent, find_equivalents
from cryofix.masking.fixed import ClassAware, NoMask, SoftWeight, Symmetric
from cryofix.masking.inverse_keep import InverseKeep
from cryofix.masking.policy import (
    LABELS_EVERY,
    MaskingPolicy,
    PolicyContext,
    PseudoLabels,
    Selection,
)
from cryofix.masking.quota import Cbst, Dars, Quota
from cryofix.masking.thresholds import Adsh, FlexMatch, FreeMatch
from cryofix.masking.weighting import Bernoulli, ImageWeight, SoftMatch

__all__ = [
    "LABELS_EVERY",
    "AdaMatch",
    "Adsh",
    "Bernoulli",
    "Cbst",
    "ClassAware",
    "Dars",
    "Debiased",
    "Equivalent",
    "FlexMatch",
    "FreeMatch",
    "ImageWeight",
    "InverseKeep",
    "LogitAdjusted",
    "MaskingPolicy",
    "NoMask",
    "PolicyContext",
    "PseudoLabels",
    "Quota",
    "Selection",
    "SoftMatch",
    "SoftWeight",
    "Symmetric",
    "find_equivalents",
]
