"""The stores of provenance in Postgres."""
