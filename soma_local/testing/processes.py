"""Child processes of tests that end with them, also when the tests are killed."""

from __future__ import annotations

import os
import signal
import sys

from soma_local import launch


def killed_with_parent(*argv: str) -> list[str]:
    """Arguments that run the program at an absolute path so that it is killed when this process, its parent, ends."""
    options = ["--parent", str(os.getpid()), "--signal", str(int(signal.SIGKILL))]
    return [sys.executable, "-I", "-S", str(launch.__file__), *options, "--", *argv]
