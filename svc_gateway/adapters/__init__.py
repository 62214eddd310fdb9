"""Adapters to files, descriptors, Postgres and the health endpoints of other components."""
