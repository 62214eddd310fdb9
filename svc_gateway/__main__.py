"""Serves the gateway context."""

from mesh.lifecycle import run
from svc_gateway.bootstrap import build

run(build)
