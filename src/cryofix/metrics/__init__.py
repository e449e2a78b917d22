"""Counting and scoring of probability maps, picks and masks; knows neither training nor Hydra.

Import from the modules: `bins` needs NumPy alone and counts files while torch is being imported.
"""
