"""A program that a function of a child process starts and waits for."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PR_SET_PDEATHSIG = 1


def run_program(argv: Sequence[str], stdin: bytes, cwd: str, environ: Mapping[str, str]) -> tuple[int, bytes, bytes]:
    """Exit status, output and error output of a program; for use in a child process, whose limits hold for it, too.

    The program ends with the child.
    """
    done = subprocess.run(
        argv, input=stdin, cwd=cwd, env=dict(environ), capture_output=True, check=False,
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
