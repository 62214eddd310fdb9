"""The model and the rules of the critic."""
