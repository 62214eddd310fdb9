"""Traces, lineage, audit chains, receipts, dead letters and redaction: model and rules."""
