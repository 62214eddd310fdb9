"""The stores of the record in Postgres."""
