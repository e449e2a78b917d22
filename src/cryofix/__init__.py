"""Semi-supervised particle picking for cryo-EM, with swappable pseudo-label masking policies."""

__version__ = "0.1.0"
