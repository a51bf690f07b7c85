"""What the notebooks need and no run does: exercises, the worked group, pairs."""
