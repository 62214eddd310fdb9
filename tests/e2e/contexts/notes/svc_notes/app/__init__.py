"""Use cases of notes, and what they need."""
