"""Serves the critic context."""

from mesh.lifecycle import run
from svc_critic.bootstrap import build

run(build)
