"""The program of a child process: reads calls from standard input, writes their results to standard output.

Started by file, with the standard library alone, so that a child holds only what its functions import. A frame is a
length of 8 bytes (big endian) and a pickle. The first frame is `Start`'s fields; then each is `(function, args)`, and
its answer `(True, result)` or `(False, exception)`.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import pickle
import resource
import signal
import struct
import sys
import traceback
from pathlib import Path
from typing import BinaryIO

_LENGTH = struct.Struct(">Q")
_PR_SET_PDEATHSIG = 1
_OPEN_FILES = 256
_KILLED_FIRST = "500"


def main() -> None:
    """Serve calls until standard input ends."""
    _die_with_parent()
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    _silence()
    path, cpu_s, memory_bytes, result_bytes, nice = pickle.loads(_read(requests))  # noqa: S301 - its parent wrote it
    sys.path[:] = path
    _limit(memory_bytes, nice)
    while frame := _read(requests):
        answer = _answer(frame, cpu_s)
        if len(answer) > result_bytes:
            answer = pickle.dumps((False, MemoryError(f"a result of {len(answer)} bytes")))
        answers.write(_LENGTH.pack(len(answer)))
        answers.write(answer)
        answers.flush()


def _answer(frame: bytes, cpu_s: float) -> bytes:
    try:
        function, args = pickle.loads(frame)  # noqa: S301 - its parent wrote it
        _limit_cpu(cpu_s)
        return pickle.dumps((True, function(*args)), protocol=pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        return pickle.dumps((False, MemoryError("not enough memory")))
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets it
        error.add_note("in a child process:\n" + "".join(traceback.format_tb(error.__traceback__)))
        return _picklable(error)


def _picklable(error: Exception) -> bytes:
    """An exception as a pickle that can be read back, or one that says what it was."""
    try:
        text = pickle.dumps((False, error))
        pickle.loads(text)  # noqa: S301 - just written
    except Exception:  # noqa: BLE001 - an exception may refuse in any way
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))
    return text


def _read(requests: BinaryIO) -> bytes:
    """The next frame; nothing at the end."""
    head = requests.read(_LENGTH.size)
    return requests.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""


def _die_with_parent() -> None:
    """Also while a call is at work, when the end of standard input is not noticed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides


def _silence() -> None:
    """What libraries print must not stand between the frames."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)


def _limit(memory_bytes: int, nice: int) -> None:
    # It leads a session, and Linux may share the processor between sessions.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    os.nice(nice)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILLED_FIRST)


def _limit_cpu(cpu_s: float) -> None:
    """Let the kernel end this process (SIGXCPU) after `cpu_s` more seconds of processor time, in whole seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + cpu_s), hard))


if __name__ == "__main__":
    main()
