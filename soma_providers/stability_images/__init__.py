"""Pictures by Stability AI."""
