"""Rows, bytes and inspection of the asset store."""
