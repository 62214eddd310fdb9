"""Diagrams by D2."""
