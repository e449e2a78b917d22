"""From micrographs to picks: the picks of one micrograph, and jobs over many."""
