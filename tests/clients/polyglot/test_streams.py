"""What each program does when streams break, calls fail and bytes are not what they should be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

import grpc
import pytest

from soma.executor.v1 import job_pb2
from tests.clients.polyglot.edge import CONTENT, EVENTS, PIECE_BYTES, Break, Edge, authority, serving
from tests.clients.polyglot.programs import NAMES, Outcome, Program, built

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.pki import Pki

KEY = "soma_test_key"
SUBMIT_DEADLINE_S = 15
ALL_EVENTS = list(range(1, EVENTS + 1))


class Run(Protocol):
    """Runs a program once against an edge."""

    def __call__(self, edge: Edge, *more: str) -> Outcome: ...


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(params=NAMES)
def run(request: pytest.FixtureRequest, pki: Pki, tmp_path: Path) -> Run:
    client = built(request.param)
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"version": "1.0", "tasks": []}))

    def once(edge: Edge, *more: str) -> Outcome:
        with serving(edge, pki) as address:
            return Program(client, address, pki.authority, KEY).run(plan, tmp_path / "out.png", *more)

    return once


def test_a_job_that_completes_is_followed_and_its_first_asset_saved(run: Run, tmp_path: Path) -> None:
    edge = Edge()
    outcome = run(edge)
    assert outcome.code == 0, outcome
    assert outcome.sequences == ALL_EVENTS
    assert outcome.value("file") == "drawing.png"
    assert outcome.value("bytes") == str(len(CONTENT))
    assert outcome.value("sha256") == edge.checksum
    assert (tmp_path / "out.png").read_bytes() == CONTENT
    assert edge.credentials == {f"Bearer {KEY}"}


def test_a_call_that_reached_nobody_is_sent_again_as_the_same_request_within_its_deadline(run: Run) -> None:
    edge = Edge(refused_submits=2)
    assert run(edge).code == 0
    assert len(edge.submitted) == 3
    assert len(set(edge.submitted)) == 1
    assert edge.submitted[0]
    assert max(edge.deadlines_s) <= SUBMIT_DEADLINE_S


def test_the_request_id_can_be_given(run: Run) -> None:
    edge = Edge()
    assert run(edge, "--request-id", "mine").code == 0
    assert edge.submitted == ["mine"]


def test_a_watch_that_breaks_goes_on_behind_the_last_event(run: Run) -> None:
    edge = Edge(watches=[Break(2), Break(1, grpc.StatusCode.OK), Break(0, grpc.StatusCode.INTERNAL)])
    outcome = run(edge)
    assert outcome.code == 0, outcome
    assert edge.watched_after == [0, 2, 3, 3]
    assert outcome.sequences == ALL_EVENTS
    assert [line.partition(":")[0] for line in outcome.errors if line.startswith("resuming")] == [
        "resuming behind event 2",
        "resuming behind event 3",
        "resuming behind event 3",
    ]


def test_an_event_that_comes_twice_is_printed_once(run: Run) -> None:
    outcome = run(Edge(watches=[Break(2)], repeated_events=1))
    assert outcome.sequences == ALL_EVENTS


def test_a_refusal_ends_a_watch_at_once_and_is_told_in_full(run: Run, tmp_path: Path) -> None:
    edge = Edge(watches=[Break(1, grpc.StatusCode.INTERNAL, reason="INTERNAL")])
    outcome = run(edge)
    assert outcome.code == 1
    assert edge.watched_after == [0]
    assert outcome.value("error:") == "INTERNAL"
    assert outcome.value("reason:") == "INTERNAL"
    assert outcome.value("message:") == "the test refuses this"
    assert outcome.value("trace:") == "ab" * 16
    assert not (tmp_path / "out.png").exists()


def test_a_busy_service_is_asked_again_where_it_says_when(run: Run) -> None:
    busy = Break(1, grpc.StatusCode.RESOURCE_EXHAUSTED, reason="OVERLOADED", retry_after_s=1)
    edge = Edge(watches=[busy])
    outcome = run(edge)
    assert outcome.code == 0, outcome
    assert edge.watched_after == [0, 1]
    assert outcome.sequences == ALL_EVENTS


def test_a_used_up_budget_is_final(run: Run) -> None:
    edge = Edge(watches=[Break(1, grpc.StatusCode.RESOURCE_EXHAUSTED, reason="BUDGET_EXCEEDED")])
    outcome = run(edge)
    assert outcome.code == 1
    assert outcome.value("reason:") == "BUDGET_EXCEEDED"
    assert edge.watched_after == [0]


def test_a_download_that_breaks_goes_on_at_the_byte_where_it_broke(run: Run, tmp_path: Path) -> None:
    edge = Edge(downloads=[Break(1), Break(1, grpc.StatusCode.OK)])
    outcome = run(edge)
    assert outcome.code == 0, outcome
    assert edge.read_offsets == [0, PIECE_BYTES, 2 * PIECE_BYTES]
    assert (tmp_path / "out.png").read_bytes() == CONTENT


@pytest.mark.parametrize("before", [None, b"an older file"])
def test_bytes_that_are_not_the_asset_are_not_saved(run: Run, tmp_path: Path, before: bytes | None) -> None:
    output = tmp_path / "out.png"
    if before is not None:
        output.write_bytes(before)
    outcome = run(Edge(checksum="00" * 32))
    assert outcome.code == 1
    assert "SHA-256" in outcome.value("error:")
    assert (output.read_bytes() if output.exists() else None) == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_job_that_failed_gives_no_file(run: Run, tmp_path: Path) -> None:
    edge = Edge(state=job_pb2.JOB_STATE_FAILED)
    outcome = run(edge)
    assert outcome.code == 1
    assert outcome.value("error:") == "the job ended as JOB_STATE_FAILED: as the test wants"
    assert edge.read_offsets == []
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("name", NAMES)
def test_the_key_is_not_sent_to_a_server_that_is_not_trusted(name: str, pki: Pki, tmp_path: Path) -> None:
    edge, other = Edge(), authority(tmp_path / "pki")
    plan = tmp_path / "plan.json"
    plan.write_text("{}")
    with serving(edge, pki) as address:
        outcome = Program(built(name), address, other.authority, KEY).run(plan, tmp_path / "out.png")
    assert outcome.code == 1
    assert outcome.value("error:") == "UNAVAILABLE"
    assert edge.credentials == set()


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_command_line_is_told_before_anything_is_sent(name: str, pki: Pki, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text("[]")
    program = Program(built(name), "127.0.0.1:1", pki.authority, KEY)
    for outcome in (program.run(plan, tmp_path / "out"), program.run(plan, tmp_path / "out", "--no-such-option", "1")):
        assert outcome.code == 2
        assert any(line.startswith("error: ") for line in outcome.errors)
