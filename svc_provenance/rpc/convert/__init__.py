"""Converters between the messages of the contracts and the domain."""
