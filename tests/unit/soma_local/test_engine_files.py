"""Files that a crash of the machine ruined keep no engine from its start."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from soma_local.engines import PostgresEngine, ValkeyEngine

if TYPE_CHECKING:
    from soma_local.home import Home


@pytest.mark.parametrize("ruined", ["", "\x00\x00", "70000", "-1", "port"])
async def test_a_ruined_port_is_chosen_anew(home: Home, ruined: str) -> None:
    file = home.root / "data" / "valkey.port"
    file.parent.mkdir()
    file.write_text(ruined)
    engine = ValkeyEngine(home)
    await engine.prepare()
    assert engine.port > 0
    assert file.read_text() == str(engine.port)


async def test_a_port_is_remembered_in_a_file_that_is_replaced_whole(home: Home) -> None:
    engine = ValkeyEngine(home)
    await engine.prepare()
    file = home.root / "data" / "valkey.port"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    following = ValkeyEngine(home)
    await following.prepare()
    assert following.port == engine.port


@pytest.mark.parametrize("ruined", ["", "\n", "pid\n/elsewhere\n"])
async def test_a_ruined_lock_of_postgres_is_removed(home: Home, ruined: str) -> None:
    cluster = home.root / "data" / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("18\n")
    (cluster / "postmaster.pid").write_text(ruined)
    await PostgresEngine(home).prepare()
    assert not (cluster / "postmaster.pid").exists()
