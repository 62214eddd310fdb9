"""The gateway's model and rules: routes, keys, tenants, permissions, degradation."""
