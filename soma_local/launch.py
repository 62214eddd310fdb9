"""Replaces itself with another program that ends with its parent, and optionally runs as another user.

`soma_local.program` runs it as a script, with the standard library only, so that it starts in milliseconds. These
properties must be set in the child process, and `preexec_fn` of subprocess is unsafe beside threads.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


def main(arguments: list[str]) -> None:
    """Parses the options, sets the properties and replaces this process with the program after `--`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--signal", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("--reachable", type=Path, action="append", default=[])
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(arguments)
    if options.uid is not None:
        _switch_user(options.uid, options.gid, options.reachable)
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, options.signal)
        if os.getppid() != options.parent:  # the parent ended before the line above took effect
            sys.exit(1)
    os.execv(options.program[0], options.program)  # noqa: S606


def _switch_user(uid: int, gid: int, paths: list[Path]) -> None:
    """Switches to the user; retains a capability to read closed folders only where a path needs it."""
    retain = sys.platform == "linux" and not all(_is_reachable(path, uid, gid) for path in paths)
    if retain:
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if retain:
        _retain_one_capability(_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE)


def _is_reachable(path: Path, uid: int, gid: int) -> bool:
    for folder in path.resolve().parents:
        status = folder.stat()
        bit = 0o100 if status.st_uid == uid else 0o010 if status.st_gid == gid else 0o001
        if not status.st_mode & bit:
            return False
    return True


def _retain_one_capability(*capabilities: int) -> None:
    """Limits the process to the first of these capabilities that it has, which the program inherits."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    retained = [capability for capability in capabilities if sets[1] >> capability & 1][:1]
    mask = sum(1 << capability for capability in retained)
    if libc.capset(header, (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for capability in retained:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *values: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    main(sys.argv[1:])
