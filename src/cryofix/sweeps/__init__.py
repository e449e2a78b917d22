"""Reading the runs of a sweep, and reporting them as a terminal table, Markdown, CSV and HTML.

This room reads only what the run folders promise and knows neither torch nor Hydra, so that a
report takes a second and works on any machine that sees the folder.
"""
