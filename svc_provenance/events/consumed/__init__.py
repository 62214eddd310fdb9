"""Handlers of the events of other contexts, and of the audit and dead letter topics."""
