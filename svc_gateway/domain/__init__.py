"""The gateway's model and rules: routes, keys, degradation."""
