"""Assets: model and rules."""
