"""Implementations of the executor's ports."""
