"""The Python client against a mesh that runs: jobs, transfers, lists, refusals, and its README as it is written."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.ids import SystemIds
from soma_client import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    SomaClient,
    UnauthenticatedError,
    from_struct,
    read_plan,
    types,
)
from tests.e2e.test_jobs import charts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.conftest import RunningMesh

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "clients" / "python"
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
UNKNOWN = "0198a1b2-0000-7000-8000-000000000000"
IDS = SystemIds()


def connect(mesh: RunningMesh, key: str | None = None) -> SomaClient:
    return SomaClient(f"localhost:{mesh.port}", api_key=mesh.key if key is None else key, ca_file=mesh.authority)


@pytest.fixture
async def client(mesh: RunningMesh) -> AsyncIterator[SomaClient]:
    async with connect(mesh) as opened:
        yield opened


async def test_a_job_is_submitted_followed_and_its_result_downloaded(client: SomaClient, tmp_path: Path) -> None:
    job = await client.jobs.submit(charts(2, chained=True))
    events = [event async for event in client.jobs.watch(job.job_id)]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.terminal for event in events].index(True) == len(events) - 1
    rest = [event.sequence async for event in client.jobs.watch(job.job_id, after=3)]
    assert rest == list(range(4, len(events) + 1))
    assert [event async for event in client.jobs.watch(job.job_id, after=len(events))] == []
    job = await client.jobs.wait(job.job_id)
    assert job.state is types.executor.JobState.COMPLETED
    asset = await client.assets.download(job.steps[0].asset_ids[0], tmp_path / "chart")
    assert (tmp_path / "chart").stat().st_size == asset.size_bytes > 0
    assert await client.assets.read(asset.asset_id, offset=1, limit=3) == (tmp_path / "chart").read_bytes()[1:4]
    trace = await client.traces.get(job.job_id)
    assert trace.story


async def test_the_same_request_id_is_the_same_job(client: SomaClient) -> None:
    request_id = IDS.new()
    jobs = [await client.jobs.submit(charts(1), request_id=request_id) for _ in range(2)]
    assert jobs[0].job_id == jobs[1].job_id
    with pytest.raises(AlreadyExistsError) as raised:
        await client.jobs.submit(charts(2), request_id=request_id)
    assert raised.value.reason == "IDEMPOTENCY_MISMATCH"


async def test_what_is_uploaded_comes_back(client: SomaClient, tmp_path: Path) -> None:
    content = "".join(f"{IDS.new()} line {number}\n" for number in range(20_000)).encode()
    (tmp_path / "lines.txt").write_bytes(content)
    metadata = {"pages": 3, "tags": ["a", None, True], "nested": {"share": 0.5}}
    asset = await client.assets.upload(tmp_path / "lines.txt", classification="public", metadata=metadata)
    assert (asset.filename, asset.size_bytes, asset.classification) == ("lines.txt", len(content), "public")
    assert from_struct((await client.assets.get(asset.asset_id)).metadata) == metadata
    await client.assets.download(asset.asset_id, tmp_path / "back.txt")
    assert (tmp_path / "back.txt").read_bytes() == content


async def test_lists_read_all_pages(client: SomaClient) -> None:
    sizes = [len(page.capabilities) async for page in client.capabilities.list(page_size=3).pages()]
    whole = [item.capability_id async for item in client.capabilities.list(page_size=3)]
    assert len(sizes) > 1
    assert set(sizes[:-1]) == {3}
    assert len(whole) == sum(sizes) == len(set(whole))


async def test_a_refused_plan_names_its_fields(client: SomaClient) -> None:
    with pytest.raises(InvalidArgumentError, match="step_type is required") as raised:
        await client.jobs.submit({"version": "1.0", "tasks": [{"task_id": "a"}]})
    assert raised.value.reason == "INVALID_PLAN"
    assert [item.subject for item in raised.value.field_violations] == ["/tasks/0/step_type"]
    assert re.fullmatch("[0-9a-f]{32}", raised.value.trace_id)


async def test_an_unknown_job_is_not_found(client: SomaClient) -> None:
    for call in (client.jobs.get(UNKNOWN), anext(client.jobs.watch(UNKNOWN))):
        with pytest.raises(NotFoundError):
            await call


async def test_a_wrong_key_is_refused_and_not_shown(mesh: RunningMesh) -> None:
    head, _, tail = mesh.key.rpartition(".")
    wrong = f"{head}.{tail[::-1]}"
    async with connect(mesh, wrong) as client:
        for call in (client.jobs.get(UNKNOWN), anext(client.jobs.watch(UNKNOWN)), client.assets.upload(b"text")):
            with pytest.raises(UnauthenticatedError) as raised:
                await call
            assert tail[::-1] not in f"{raised.value} {raised.value!r} {client!r}"


async def test_a_revoked_key_ends_a_stream_with_its_error(client: SomaClient, mesh: RunningMesh) -> None:
    key = await client.api_keys.create(types.gateway.ApiKey(display_name="revoked", roles=["member"]))
    assert key.secret not in repr(key)
    job = await client.jobs.submit(charts(12, chained=True))
    async with connect(mesh, key.secret) as other:
        events = other.jobs.watch(job.job_id)
        assert (await anext(events)).sequence == 1
        await client.api_keys.revoke(key.key_id)
        with pytest.raises(UnauthenticatedError):
            await asyncio.wait_for(_read_all(events), 60)
    await client.jobs.cancel(job.job_id, reason="not needed")


async def _read_all(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, mesh: RunningMesh) -> Path:
    """A folder as the README expects it: the mesh's own files, the examples, and a README."""
    (tmp_path / ".soma").symlink_to(mesh.home.root)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


@pytest.mark.timeout(600)
def test_the_first_program_of_the_readme_runs_as_written(folder: Path, mesh: RunningMesh) -> None:
    program, commands = blocks("python")[0], blocks("sh")[1]
    assert program.startswith("# hello.py\n")
    (folder / "hello.py").write_text(program)
    commands = commands.replace("localhost:8010", f"localhost:{mesh.port}")
    environ = {**mesh.environ, "PYTHONPATH": str(PACKAGE)}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100%  the job is completed" in done.stdout
    assert (folder / "hello.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.timeout(600)
async def test_the_other_programs_of_the_readme_run_as_written(
    client: SomaClient,
    mesh: RunningMesh,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SOMA_ADDRESS", f"localhost:{mesh.port}")
    monkeypatch.setenv("SOMA_CA_FILE", str(mesh.authority))
    names: dict[str, object] = {"client": client, "Path": Path, "os": os, "SomaClient": SomaClient}
    for block in blocks("python")[1:]:
        code = compile(block, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        awaited = eval(code, names)
        if inspect.iscoroutine(awaited):
            await awaited
    assert (folder / "copy.md").read_text() == README
    said = capsys.readouterr().out
    assert "INVALID_PLAN\n/tasks/0/step_type" in said
    assert "the last" in said


def test_the_plan_of_the_readme_is_an_example() -> None:
    assert read_plan(ROOT / "examples" / "hello_job.json")["tasks"]
