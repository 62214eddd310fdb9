"""The model of notes."""
