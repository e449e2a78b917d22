"""Scoring probability maps, picks and masks; knows neither training nor configuration."""

from cryofix.metrics.calibration import Reliability
from cryofix.metrics.jackknife import Interval, interval, paired_interval
from cryofix.metrics.keep_rates import THRESHOLDS, ConfidenceHistogram, WeightTally, drift
from cryofix.metrics.matching import Matches, match
from cryofix.metrics.micrograph_records import MicrographRecord, Thresholds
from cryofix.metrics.particles import ParticleRecord
from cryofix.metrics.pixels import PixelHistogram
from cryofix.metrics.scores import choose_thresholds, paired_gain, summarise

__all__ = [
    "THRESHOLDS",
    "ConfidenceHistogram",
    "Interval",
    "Matches",
    "MicrographRecord",
    "ParticleRecord",
    "PixelHistogram",
    "Reliability",
    "Thresholds",
    "WeightTally",
    "choose_thresholds",
    "drift",
    "interval",
    "match",
    "paired_gain",
    "paired_interval",
    "summarise",
]
