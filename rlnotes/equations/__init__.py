"""EQUATIONS: advantages, objectives, divergences and shaping; torch alone.

Copy this folder into a trainer and all of it works there: nothing here imports anything
of rlnotes outside the folder."""
