"""FIGURE: statistics over seeds, pictures, and the papers' own numbers."""
