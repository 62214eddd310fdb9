"""Version of this package, which is not that of the mesh."""

__version__ = "0.1.0"
