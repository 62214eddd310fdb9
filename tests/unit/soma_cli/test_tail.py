"""The end of a log is read without the rest of it."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import pytest

from soma_cli import tail
from soma_cli.tail import LogReader

if TYPE_CHECKING:
    from pathlib import Path

_MIB = 1 << 20


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("text", ["", "\n", "whole\n", "begun", "one\ntwo\nthree\n", "one\n\n\ntwo\nbeg", "ä\nöü\nß"])
def test_the_last_lines_are_those_of_the_whole_file_and_what_was_begun_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, count: int, block: int
) -> None:
    monkeypatch.setattr(tail, "_BLOCK_BYTES", block)
    file = tmp_path / "services.log"
    file.write_text(text)
    log = LogReader(file)
    *lines, begun = text.split("\n")
    assert log.read_last(count) == lines[max(len(lines) - count, 0) :]
    with file.open("a") as more:
        more.write("!\n")
    assert log.read_new() == [f"{begun}!"]


def test_a_long_log_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "services.log"
    file.write_bytes((b"x" * 99 + b"\n") * (16 * _MIB // 100))
    tracemalloc.start()
    try:
        assert len(LogReader(file).read_last(50)) == 50
        assert tracemalloc.get_traced_memory()[1] < _MIB
    finally:
        tracemalloc.stop()


def test_a_log_that_began_anew_is_read_from_its_start(tmp_path: Path) -> None:
    file = tmp_path / "services.log"
    file.write_text("one\ntwo\nbegun")
    log = LogReader(file)
    log.read_last(1)
    file.write_text("new\n")
    assert log.read_new() == ["new"]
