"""What the record takes in from the topics: one module a subject."""
