"""Diagrams in a model of their own, so that any diagram engine can draw them."""
