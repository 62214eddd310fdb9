"""Diagrams by Mermaid."""
