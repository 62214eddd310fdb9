"""Facts travel from one context to the others: outbox, bus, inbox."""
