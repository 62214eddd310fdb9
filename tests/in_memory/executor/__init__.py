"""Adapters that keep everything in memory: for one process, for as long as it lives."""
