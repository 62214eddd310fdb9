"""The critic: model and rules."""
