"""Micrographs and coordinates to tiles: simulation, preprocessing, splits, augmentation."""
