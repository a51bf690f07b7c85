"""POLICY: the language model that is trained, loaded from where it lies."""
