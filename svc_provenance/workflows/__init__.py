"""Workflows of provenance."""
