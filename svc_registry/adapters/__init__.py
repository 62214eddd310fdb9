"""Stores of the registry."""
