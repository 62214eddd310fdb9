"""Charts: their data, read and checked, and how they are painted."""
