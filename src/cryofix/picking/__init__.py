"""From networks and micrographs to probability maps, and from maps to picks."""

from cryofix.picking.peaks import find_peaks
from cryofix.picking.sliding import predict_map
from cryofix.picking.suppression import suppress

__all__ = ["find_peaks", "predict_map", "suppress"]
