"""Serves the selector context."""

from mesh.lifecycle import run
from svc_selector.bootstrap import build

run(build)
