"""Events of the asset store."""
