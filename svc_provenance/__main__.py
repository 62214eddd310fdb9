"""Serves the provenance context."""

from mesh.lifecycle import run
from svc_provenance.bootstrap import build

run(build)
