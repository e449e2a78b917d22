"""What is shown of a run while it goes on and after it: status, progress, figures, guard."""
