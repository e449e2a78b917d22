"""Masking policies: which of the teacher's pixels the student believes, and how much."""

from cryofix.masking.fixed import ClassAware, NoMask, SoftWeight, Symmetric
from cryofix.masking.policy import MaskingPolicy, PolicyContext, PseudoLabels, Selection

__all__ = [
    "ClassAware",
    "MaskingPolicy",
    "NoMask",
    "PolicyContext",
    "PseudoLabels",
    "Selection",
    "SoftWeight",
    "Symmetric",
]
