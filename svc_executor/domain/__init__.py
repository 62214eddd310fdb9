"""Model, rules, errors and ports of the executor."""
