"""Use cases of the executor."""
