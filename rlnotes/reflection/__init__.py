"""ANALYSIS of reflection: words, behavior and benefit."""
