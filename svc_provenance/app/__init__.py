"""Use cases of provenance."""
