"""The services of the record."""
