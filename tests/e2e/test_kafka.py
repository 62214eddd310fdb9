"""The whole mesh on Kafka: a job's facts reach the record over it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mesh.clock import SystemClock
from soma.executor.v1.job_pb2 import StepState
from soma_cli.client import EdgeClient
from soma_cli.demo import wait_for_complete_trace
from soma_local.home import Home
from soma_local.ports import free_port
from tests.e2e.conftest import RunningMesh
from tests.e2e.jobs import run_job

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.collector import Collector

HELLO = Path(__file__).parents[2] / "examples" / "hello_job.json"


@pytest.fixture
def kafka_mesh(
    tmp_path: Path, kafka_jars: Path, spans: Collector, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningMesh]:
    monkeypatch.setenv("SA01_KAFKA_JARS", str(kafka_jars))
    running = RunningMesh(Home(tmp_path), free_port(), spans)
    up = running.soma("up", "--detach", "--bus", "kafka", "--port", str(running.port))
    try:
        assert up.returncode == 0, f"{up.stdout}\n{up.stderr}"
        yield running
    finally:
        running.soma("down")


@pytest.mark.timeout(300)
async def test_a_job_and_its_trace_over_kafka(kafka_mesh: RunningMesh) -> None:
    programs = json.loads(kafka_mesh.soma("status", "--json").stdout)["programs"]
    assert {"name": "kafka", "state": "running"}.items() <= next(
        each for each in programs if each["name"] == "kafka"
    ).items()
    assert kafka_mesh.variable("SA01_BUS_KIND") == "kafka"
    with kafka_mesh.client() as api:
        job = run_job(api, json.loads(HELLO.read_text()))
    assert job["state"] == "JOB_STATE_COMPLETED"
    with EdgeClient.for_home(kafka_mesh.home) as client:
        trace, _ = await wait_for_complete_trace(client, str(job["job_id"]), SystemClock())
    assert [step.state for step in trace.steps] == [StepState.STEP_STATE_SUCCEEDED]
