"""Changes to pictures."""
