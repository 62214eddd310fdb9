"""Serves the executor."""

from __future__ import annotations

from mesh.lifecycle import run
from svc_executor.bootstrap import build

if __name__ == "__main__":
    run(build)
