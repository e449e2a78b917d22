"""What a mask does to a teacher's probabilities, and where that leads.

Import from the modules: `bins`, `arrays` and `streaming` read and count files with NumPy alone, so
that this can go on while the rest, which needs torch, is still being imported.
"""
