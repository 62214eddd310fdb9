"""Serves the assets context."""

from mesh.lifecycle import run
from svc_assets.bootstrap import build

run(build)
