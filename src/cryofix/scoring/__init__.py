"""Scoring probability maps, picks and masks; knows neither training nor configuration."""

from cryofix.scoring.calibration import Reliability
from cryofix.scoring.jackknife import Interval, interval, paired_interval
from cryofix.scoring.keep_rates import THRESHOLDS, ConfidenceHistogram, WeightTally, drift
from cryofix.scoring.matching import Matches, match
from cryofix.scoring.particles import ParticleRecord, label_free_border
from cryofix.scoring.pixels import PixelHistogram
from cryofix.scoring.records import MicrographRecord, Thresholds
from cryofix.scoring.scores import (
    choose_thresholds,
    paired_gain,
    summarise,
)

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
    "label_free_border",
    "match",
    "paired_gain",
    "paired_interval",
    "summarise",
]
