"""The notes context: short texts of a tenant."""
