"""What the tests of process pools have done in child processes: functions that a child can import."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path


class OddError(Exception):
    """Cannot be read back from a pickle: its constructor wants two arguments."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def identity() -> int:
    """The id of the process."""
    return os.getpid()


def group_of(process: int) -> str:
    """The group of sessions that share the processor with others, and its nice value."""
    return Path(f"/proc/{process}/autogroup").read_text()


def double(text: bytes) -> bytes:
    """The text twice."""
    return text * 2


def spin() -> None:
    """Hold the interpreter for ever."""
    while True:
        pass


def spin_after(path: str) -> None:
    """Leave the id of the process in a file, then hold the interpreter for ever."""
    write(path)
    spin()


def stand_still() -> None:
    """Wait for ever without using the processor."""
    signal.pause()


def write_and_stand_still(path: str) -> None:
    """Leave the id of the process in a file, then wait for ever."""
    write(path)
    signal.pause()


def write(path: str) -> None:
    """Leave the id of the process in a file, which is there with its text at once."""
    with open(f"{path}.new", "w", encoding="ascii") as file:  # noqa: PTH123 - as little as possible is imported
        file.write(str(os.getpid()))
    os.rename(f"{path}.new", path)  # noqa: PTH104


def allocate(mebibytes: int) -> int:
    """Use memory."""
    return len(bytearray(mebibytes * 1024 * 1024))


def give(mebibytes: int) -> bytes:
    """A result of some size."""
    return bytes(mebibytes * 1024 * 1024)


def crash() -> None:
    """End by a fault, as a native library might."""
    ctypes.string_at(0)


def refuse(text: str) -> None:
    """Raise what the caller shall see."""
    raise ValueError(text)


def refuse_oddly() -> None:
    """Raise what cannot be read back."""
    raise OddError(7, "odd")


def chatter() -> str:
    """Print, as libraries do."""
    print("noise", flush=True)  # noqa: T201
    return "quiet"


def environment() -> dict[str, str]:
    """What the process is told by its environment."""
    return dict(os.environ)


def modules() -> list[str]:
    """What the process has imported of ours."""
    import sys

    return [name for name in sys.modules if name.partition(".")[0] in {"mesh", "grpc", "asyncio"}]
