"""Throw-away engines and child processes for tests."""
