"""The services of provenance."""
