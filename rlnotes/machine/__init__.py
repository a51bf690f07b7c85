"""MACHINE: where a run computes, where bytes lie, where a record came from."""
