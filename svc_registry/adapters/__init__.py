"""The adapters of the registry."""
