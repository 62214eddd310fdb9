"""Serves the notes."""

from mesh.lifecycle import run
from svc_notes.bootstrap import build

run(build)
