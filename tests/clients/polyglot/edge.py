"""An edge with one job and one asset that fails as a test tells it to, over TLS."""

# ruff: noqa: N802 - the contract's names

from __future__ import annotations

import hashlib
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import grpc
from google.api import httpbody_pb2
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from mesh.clock import SystemClock
from soma.assets.v1 import asset_pb2, asset_service_pb2, asset_service_pb2_grpc
from soma.executor.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc
from soma_local.pki import EDGE, Pki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOB_ID = "01890000-0000-7000-8000-000000000001"
ASSET_ID = "01890000-0000-7000-8000-000000000002"
PIECE_BYTES = 1 << 18
CONTENT = bytes(range(256)) * 2560  # two pieces and a half
EVENTS = 4


@dataclass(frozen=True)
class Break:
    """A stream that ends early: after so many messages, with a status, or as if all were sent (OK)."""

    after: int
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    reason: str = ""
    retry_after_s: int = 0


@dataclass
class Edge:
    """What happens, in the order of the calls, and what the calls asked for."""

    refused_submits: int = 0
    watches: list[Break] = field(default_factory=list)
    downloads: list[Break] = field(default_factory=list)
    repeated_events: int = 0
    state: job_pb2.JobState.ValueType = job_pb2.JOB_STATE_COMPLETED
    checksum: str = hashlib.sha256(CONTENT).hexdigest()
    submitted: list[str] = field(default_factory=list)
    deadlines_s: list[float] = field(default_factory=list)
    watched_after: list[int] = field(default_factory=list)
    read_offsets: list[int] = field(default_factory=list)
    credentials: set[str] = field(default_factory=set)

    def called(self, context: grpc.ServicerContext) -> None:
        sent = dict(context.invocation_metadata())
        self.credentials.add(str(sent.get("authorization", "")))


class _Jobs(job_service_pb2_grpc.JobServiceServicer):
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def SubmitJob(self, request: job_service_pb2.SubmitJobRequest, context: grpc.ServicerContext) -> job_pb2.Job:
        self._edge.called(context)
        self._edge.submitted.append(request.request_id)
        self._edge.deadlines_s.append(context.time_remaining())
        if len(self._edge.submitted) <= self._edge.refused_submits:
            context.abort(grpc.StatusCode.UNAVAILABLE, "no service")
        return job_pb2.Job(job_id=JOB_ID, state=job_pb2.JOB_STATE_PENDING)

    def GetJob(self, request: job_service_pb2.GetJobRequest, context: grpc.ServicerContext) -> job_pb2.Job:
        self._edge.called(context)
        steps = [job_pb2.Step(step_id="first"), job_pb2.Step(step_id="second", asset_ids=[ASSET_ID, "other"])]
        return job_pb2.Job(job_id=request.job_id, state=self._edge.state, steps=steps, message="as the test wants")

    def WatchJob(
        self, request: job_service_pb2.WatchJobRequest, context: grpc.ServicerContext
    ) -> Iterator[job_pb2.JobEvent]:
        edge = self._edge
        edge.called(context)
        edge.watched_after.append(request.after)
        ending = edge.watches.pop(0) if edge.watches else None
        first = max(request.after + 1 - edge.repeated_events, 1)
        yield job_pb2.JobEvent(type=job_pb2.JOB_EVENT_TYPE_HEARTBEAT, job_id=JOB_ID)
        for sent, sequence in enumerate(range(first, EVENTS + 1)):
            if ending is not None and sent == ending.after:
                _end(context, ending)
                return
            yield job_pb2.JobEvent(
                sequence=sequence,
                type=job_pb2.JOB_EVENT_TYPE_JOB,
                job_id=JOB_ID,
                job_state=edge.state if sequence == EVENTS else job_pb2.JOB_STATE_RUNNING,
                terminal=sequence == EVENTS,
            )


class _Assets(asset_service_pb2_grpc.AssetServiceServicer):
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def GetAsset(self, request: asset_service_pb2.GetAssetRequest, context: grpc.ServicerContext) -> asset_pb2.Asset:
        self._edge.called(context)
        return asset_pb2.Asset(
            asset_id=request.asset_id,
            filename="drawing.png",
            size_bytes=len(CONTENT),
            checksum_sha256=self._edge.checksum,
        )

    def DownloadAsset(
        self, request: asset_service_pb2.DownloadAssetRequest, context: grpc.ServicerContext
    ) -> Iterator[httpbody_pb2.HttpBody]:
        edge = self._edge
        edge.called(context)
        edge.read_offsets.append(request.read_offset)
        ending = edge.downloads.pop(0) if edge.downloads else None
        for sent, offset in enumerate(range(request.read_offset, len(CONTENT), PIECE_BYTES)):
            if ending is not None and sent == ending.after:
                _end(context, ending)
                return
            yield httpbody_pb2.HttpBody(content_type="image/png", data=CONTENT[offset : offset + PIECE_BYTES])


def _end(context: grpc.ServicerContext, ending: Break) -> None:
    """Ends a call with a status; returns where it is OK."""
    if ending.code is grpc.StatusCode.OK:
        return
    if ending.reason:
        _refuse(context, ending)
    context.abort(ending.code, "the test ends this stream")


def _refuse(context: grpc.ServicerContext, ending: Break) -> NoReturn:
    status = status_pb2.Status(code=code_pb2.Code.Value(ending.code.name), message="the test refuses this")
    info = error_details_pb2.ErrorInfo(reason=ending.reason, domain="soma", metadata={"trace_id": "ab" * 16})
    status.details.add().Pack(info)
    if ending.retry_after_s:
        delay = duration_pb2.Duration(seconds=ending.retry_after_s)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    context.abort_with_status(rpc_status.to_status(status))


@contextmanager
def serving(edge: Edge, pki: Pki) -> Iterator[str]:
    """Serves the edge on loopback; gives host:port."""
    pair = pki.pair(EDGE)
    server = grpc.server(futures.ThreadPoolExecutor(4))
    job_service_pb2_grpc.add_JobServiceServicer_to_server(_Jobs(edge), server)  # type: ignore[abstract]
    asset_service_pb2_grpc.add_AssetServiceServicer_to_server(_Assets(edge), server)  # type: ignore[abstract]
    credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.certificate.read_bytes())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def authority(folder: Path) -> Pki:
    """A certificate authority with a certificate of the edge."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Pki(folder, SystemClock())
    made.ensure(())
    return made
