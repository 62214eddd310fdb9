"""What the system refuses is told in one line, by path and reason."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from soma_cli.app import main
from soma_cli.client import EdgeClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from soma_local.home import Home


def _soma(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["soma", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1


@pytest.fixture
def no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that cannot be made, because a file is in the way."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("SA01_HOME", str(tmp_path / "file" / "home"))
    return tmp_path / "file" / "home"


@pytest.mark.parametrize("arguments", [("up",), ("up", "--detach")])
def test_a_home_that_cannot_be_made_is_one_line(
    no_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    _soma(monkeypatch, *arguments)
    assert capsys.readouterr().err == f"soma: {no_folder}: Not a directory\n"


def test_a_home_that_cannot_be_made_is_json_where_json_was_asked_for(
    no_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _soma(monkeypatch, "up", "--detach", "--json")
    assert json.loads(capsys.readouterr().out) == {"error": {"message": f"{no_folder}: Not a directory"}}


def test_a_file_that_cannot_be_written_is_one_line(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextmanager
    def for_home(_: Home) -> Iterator[EdgeClient]:
        answer = httpx.MockTransport(lambda _: httpx.Response(200, content=b"{}\n"))
        with httpx.Client(base_url="https://edge", transport=answer) as http:
            yield EdgeClient(http)

    monkeypatch.setattr(EdgeClient, "for_home", for_home)
    target = home.root / "absent" / "chain.ndjson"
    _soma(monkeypatch, "audit", "export", str(target))
    assert capsys.readouterr().err == f"soma: {target}: No such file or directory\n"
