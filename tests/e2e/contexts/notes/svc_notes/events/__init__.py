"""Events of notes."""
