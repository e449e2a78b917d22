"""What is measured, one script for each row; `python -m benchmarks` runs all."""
