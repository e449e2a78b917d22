"""What the figures of a diagnosis have in common."""

PARTICLES, BACKGROUND = "#e4572e", "#4c78a8"
WRONG, NEUTRAL = "#f2c200", "#555555"
IGNORED = "#bbbbbb"
