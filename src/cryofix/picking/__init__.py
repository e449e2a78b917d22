"""From probability maps of whole micrographs to picks."""
