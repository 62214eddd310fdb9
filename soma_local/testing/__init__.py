"""Temporary engines and child processes for tests."""
