"""Facts, lineage, traces and redaction: model and rules of the record."""
