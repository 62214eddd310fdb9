"""A browser that has no network of its own: every request of a page goes through the egress guard."""
