"""The one folder of a local mesh."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from soma_local import ports
from soma_local.environment import ServicePorts
from soma_local.home import Home, write_private
from soma_local.ports import free_port, port_is_free

if TYPE_CHECKING:
    from pathlib import Path


def test_the_home_is_named_by_the_environment(tmp_path: Path) -> None:
    assert Home.from_environment({"SA01_HOME": str(tmp_path)}).root == tmp_path


def test_the_home_is_below_the_current_folder_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.from_environment({}).root == tmp_path / ".soma"


def test_a_secret_is_made_once_and_is_private(home: Home) -> None:
    first = home.secret("postgres")
    assert home.secret("postgres") == first
    assert len(first) >= 40
    assert stat.S_IMODE((home.secrets / "postgres").stat().st_mode) == 0o600


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    write_private(tmp_path / "file", "old")
    write_private(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert [entry.name for entry in os.scandir(tmp_path)] == ["file"]


def test_service_ports_stay_the_same_over_restarts(home: Home) -> None:
    first = ServicePorts.allocate(home, ["gateway"])
    assert first.grpc["gateway"]
    assert ServicePorts.allocate(home, ["gateway"]) == first


def test_a_free_port_can_be_listened_on() -> None:
    assert port_is_free(free_port())


def test_a_free_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to this process again nor to another, though nobody listens on it yet."""
    taken = free_port()
    choosing = (
        f"from soma_local import ports; ports._MIN_PORT, ports._MAX_PORT = {taken}, {taken + 1}; ports.free_port()"
    )
    argv = [sys.executable, "-c", choosing]
    other = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert "no free port found" in other.stderr
    monkeypatch.setattr(ports, "_MIN_PORT", taken)
    monkeypatch.setattr(ports, "_MAX_PORT", taken + 1)
    with pytest.raises(OSError, match="no free port"):
        free_port()
