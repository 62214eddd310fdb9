"""A test that starts what tests start and never ends; `test_interruption` runs and ends it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from soma_local.home import Home
from soma_local.ports import free_port
from soma_local.supervisor import StateFile

if TYPE_CHECKING:
    from soma_local.engines import PostgresEngine

HOME, TOLD = "INTERRUPTED_HOME", "INTERRUPTED_TOLD"


async def test_a_database_and_a_mesh_run(postgres_engine: PostgresEngine) -> None:
    pids = [postgres_engine.pid]
    if folder := os.environ.get(HOME):
        home = Home(Path(folder))
        command = [sys.executable, "-m", "soma_cli", "up", "--detach", "--json", "--port", str(free_port())]
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "SA01_HOME": folder}, stdout=subprocess.DEVNULL
        )
        assert await process.wait() == 0
        state = StateFile(home).read()
        assert state is not None
        pids += [state.supervisor.pid, *(program.pid for program in state.programs)]
    await asyncio.to_thread(Path(os.environ[TOLD]).write_text, json.dumps(pids))
    await asyncio.Event().wait()
