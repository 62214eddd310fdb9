"""Adapters in memory, which pass the contract suites of their ports and stand in for engines in unit tests."""
