"""RECORD: what a run leaves in its folder, and how it is read again."""
