"""Providers of models and tools: one folder each behind one port (`port`), and what stands around all (`runtime`)."""
