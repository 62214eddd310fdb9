"""Contexts are found by their entry points and served in one process or in one each."""

from __future__ import annotations

import asyncio
import textwrap
from typing import TYPE_CHECKING

import pytest

from mesh import contexts
from mesh.contexts import UnknownContextError
from soma_local import services
from soma_local.environment import ServicePorts
from soma_local.program import ProgramFailedError

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.home import Home

_CONTEXT = """
    import asyncio, os
    from contextlib import asynccontextmanager
    from mesh.lifecycle import Service

    NAME = __name__.partition(".")[0].removeprefix("svc_")

    @asynccontextmanager
    async def build():
        address = os.environ[f"SA01_{NAME.upper()}_SERVER_BIND"]
        host, port = address.rsplit(":", 1)
        async def answer(reader, writer):
            writer.write(f"{NAME} {os.getpid()}".encode())
            writer.close()
        async with await asyncio.start_server(answer, host, int(port)):
            yield Service(NAME, address)
"""
_DECLARATION = """
    from mesh.contexts import ContextDeclaration

    CONTEXT = ContextDeclaration(name="{name}", version="1.0.0", package="svc_{name}", protos=("soma.{name}.v1",))
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two contexts, installed as a distribution of their own."""
    site = tmp_path / "site"
    for name in ("ant", "bee"):
        package = site / f"svc_{name}"
        (package / "migrations").mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "context.py").write_text(textwrap.dedent(_DECLARATION).format(name=name))
        (package / "bootstrap.py").write_text(textwrap.dedent(_CONTEXT))
    metadata = site / "tiny-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[soma.contexts]\nant = svc_ant.context:CONTEXT\nbee = svc_bee.context:CONTEXT\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))


@pytest.mark.usefixtures("tiny")
def test_installed_contexts_are_found_with_their_migrations() -> None:
    ant, bee = contexts.named(["ant", "bee"])
    assert (ant.name, bee.name) == ("ant", "bee")
    assert ant.migrations is not None
    assert ant.migrations.parts[-2:] == ("svc_ant", "migrations")


def test_an_unknown_context_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnknownContextError, match=r"unknown context nowhere; installed: .*gateway"):
        contexts.named(["nowhere"])


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(("process_per_service", "expected"), [(False, ["services"]), (True, ["svc-ant", "svc-bee"])])
async def test_contexts_are_served_until_they_are_stopped(
    home: Home, *, process_per_service: bool, expected: list[str]
) -> None:
    ports = ServicePorts.allocate(home, ["ant", "bee"])
    values = {f"SA01_{name.upper()}_SERVER_BIND": f"127.0.0.1:{port}" for name, [port] in ports.grpc.items()}
    programs = services.processes(
        home, ["ant", "bee"], {**values, "SA01_HOME": str(home.root)}, ports, process_per_service=process_per_service
    )
    assert [program.name for program in programs] == expected
    await asyncio.gather(*(program.start() for program in programs))
    answers = [await _ask(port) for [port] in ports.grpc.values()]
    assert [answer.split()[0] for answer in answers] == ["ant", "bee"]
    assert {int(answer.split()[1]) for answer in answers} == {program.pid for program in programs}
    await asyncio.gather(*(program.stop() for program in programs))
    with pytest.raises(ConnectionRefusedError):
        await _ask(ports.grpc["ant"][0])


@pytest.mark.usefixtures("tiny")
async def test_each_replica_of_a_context_is_a_process_with_ports_of_its_own(home: Home) -> None:
    ports = ServicePorts.allocate(home, ["ant"], 3)
    values = {
        "SA01_HOME": str(home.root),
        "SA01_ANT_SERVER_BIND": f"127.0.0.1:{ports.grpc['ant'][0]}",
        "SA01_IDENTITY_REVOCATIONS_DIR": str(home.revocations),
    }
    programs = services.processes(home, ["ant"], values, ports, process_per_service=True, replicas=3)
    assert [program.name for program in programs] == ["svc-ant-1", "svc-ant-2", "svc-ant-3"]
    assert [program.address for program in programs] == [f"127.0.0.1:{port}" for port in ports.grpc["ant"]]
    await asyncio.gather(*(program.start() for program in programs))
    answers = [await _ask(port) for port in ports.grpc["ant"]]
    assert [int(answer.split()[1]) for answer in answers] == [program.pid for program in programs]
    await asyncio.gather(*(program.stop() for program in programs))


@pytest.mark.usefixtures("tiny")
async def test_a_service_that_cannot_start_says_why(home: Home) -> None:
    ports = ServicePorts.allocate(home, ["ant"])
    [program] = services.processes(home, ["ant"], {"SA01_HOME": str(home.root)}, ports, process_per_service=False)
    with pytest.raises(ProgramFailedError, match="SA01_ANT_SERVER_BIND"):
        await program.start()


async def _ask(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await reader.read()
    writer.close()
    return answer.decode()
