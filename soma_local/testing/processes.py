"""Child processes of tests that end with the test process, also when that is killed."""

from __future__ import annotations

import os
import signal
import sys

from soma_local import launch


def killed_with_parent(*argv: str) -> list[str]:
    """Returns the arguments that run a program, by its absolute path, which is killed when this process ends."""
    options = ["--parent", str(os.getpid()), "--signal", str(int(signal.SIGKILL))]
    return [sys.executable, "-I", "-S", str(launch.__file__), *options, "--", *argv]
