"""Serves the registry context."""

from mesh.lifecycle import run
from svc_registry.bootstrap import build

run(build)
