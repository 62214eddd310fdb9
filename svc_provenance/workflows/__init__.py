"""Durable work of the record."""
