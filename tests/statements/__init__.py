"""Records the statements of a test run, and explains each of them on tables that hold many rows."""
