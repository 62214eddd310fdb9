"""Diagrams by PlantUML."""
