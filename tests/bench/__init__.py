"""Figures, each beside a bare gRPC echo of the same run: `python -m tests.bench [--json] [part ...]`."""
