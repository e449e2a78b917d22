"""One run: its stages, its folder, its results and the callbacks that watch it."""
