"""Writes the OpenAPI document of all REST paths from the committed descriptor set."""
