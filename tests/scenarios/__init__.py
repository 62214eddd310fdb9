"""Defects that were found by review, as scenarios: each is run against a mesh, or names the test that covers it."""
