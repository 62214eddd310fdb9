"""A TLS server that answers the REST paths of the command line's tests as the edge documents them."""

from __future__ import annotations

import json
import os
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

from mesh.clock import SystemClock
from soma_local.environment import bootstrap_key_file
from soma_local.home import write_private
from soma_local.identity import ProcessIdentity
from soma_local.pki import EDGE, Pki
from soma_local.supervisor import MeshState, Phase, ProgramState, ProgramStatus, StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soma_local.home import Home

API_KEY = "soma_dev_key"
JOB_ID = "01890000-0000-7000-8000-000000000001"
ASSET_ID = "01890000-0000-7000-8000-0000000000a1"
JOB = {
    "job_id": JOB_ID,
    "state": "JOB_STATE_COMPLETED",
    "title": "Sign-in [draft]",
    "progress": 1.0,
    "cost_micro_usd": "1500",
    "steps": [
        {
            "step_id": "diagram",
            "step_type": "generate_diagram",
            "state": "STEP_STATE_SUCCEEDED",
            "asset_ids": [ASSET_ID],
            "capability_id": "mermaid@local",
            "attempts": 2,
            "quality_score": 0.91,
            "cost_micro_usd": "1500",
        }
    ],
}
EVENTS = [
    {"sequence": str(n), "type": "JOB_EVENT_TYPE_STEP", "job_id": JOB_ID, "step_id": "diagram", "message": text,
     "job_state": "JOB_STATE_RUNNING", "progress": n / 3, "terminal": n == 3}
    for n, text in ((1, "started"), (2, "reworked"), (3, "done"))
]  # fmt: skip
TRACE = {
    "id": JOB_ID,
    "complete": True,
    "totals": {"attempts": 2, "reworks": 1, "provider_ms": "1600"},
    "steps": [
        {
            "step_id": "diagram",
            "state": "STEP_STATE_SUCCEEDED",
            "story": "The first diagram was too small, so it was made again.",
            "attempts": [
                {
                    "attempt": 1,
                    "selection": {"reason": "first on the ladder", "chosen": {"capability_id": "mermaid@local"}},
                    "execution": {"attempt": 1, "tool_id": "mermaid", "provider": "local", "latency_ms": "800",
                                  "status": "EXECUTION_STATUS_REJECTED", "quality_score": 0.4},
                },
                {
                    "attempt": 2,
                    "kind": "TRACE_ATTEMPT_KIND_REWORK",
                    "cause": "text too small",
                    "execution": {"attempt": 2, "tool_id": "mermaid", "provider": "local", "latency_ms": "800",
                                  "status": "EXECUTION_STATUS_SUCCEEDED", "quality_score": 0.91,
                                  "cost_micro_usd": "1500", "rework_reason": "text too small"},
                },
            ],
        }
    ],
}  # fmt: skip
TRACE_EVENTS: list[dict[str, object]] = [
    {"job": {"job_id": JOB_ID, "state": "JOB_STATE_RUNNING"}},
    {},
    {"step": {"step_id": "diagram", "attempts": TRACE["steps"][0]["attempts"][:1]}},  # type: ignore[index]
    {"step": TRACE["steps"][0]},  # type: ignore[index]
    {"trace": TRACE},
]


def status(code: int, reason: str, message: str, trace_id: str) -> dict[str, object]:
    """An error as the edge answers it."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "soma",
        "metadata": {"trace_id": trace_id},
    }
    return {"code": code, "message": message, "details": [info]}


NOT_FOUND = status(5, "NOT_FOUND", "job not found", "abc123")
UNAUTHENTICATED = status(16, "UNAUTHENTICATED", "send an API key", "abc124")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    submitted: ClassVar[list[dict[str, object]]] = []
    streams: ClassVar[int] = 0

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.headers["Authorization"] != f"Bearer {API_KEY}":
            self._answer(401, UNAUTHENTICATED)
        elif path == f"/v1/multimodal/jobs/{JOB_ID}/events":
            self._stream()
        elif path == f"/v1/traces/{JOB_ID}/events":
            self._stream_trace()
        else:
            self._resource(path)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.submitted.append({"path": self.path, **body})
        if self.path == "/v1/token":
            self._answer(200, {"token": "a.b.c", "expire_time": "2030-01-01T00:15:00Z"})
        else:
            self._answer(200, JOB)

    def _resource(self, path: str) -> None:
        known: dict[str, object] = {
            f"/v1/multimodal/jobs/{JOB_ID}": JOB,
            f"/v1/multimodal/jobs/{JOB_ID}/describe": {"job": JOB},
            "/v1/multimodal/jobs": {"jobs": [JOB]},
            f"/v1/traces/{JOB_ID}": TRACE,
            f"/v1/multimodal/provenance/{ASSET_ID}": {"asset": {"asset_id": ASSET_ID}, "ancestors": []},
            f"/v1/multimodal/assets/{ASSET_ID}/metadata": {
                "asset_id": ASSET_ID, "filename": "diagram.svg", "media_type": "image/svg+xml", "size_bytes": "5",
            },
        }  # fmt: skip
        if path == f"/v1/multimodal/assets/{ASSET_ID}":
            self._send(200, "image/svg+xml", b"<svg>")
        else:
            self._answer(200 if path in known else 404, known.get(path, NOT_FOUND))

    def _stream(self) -> None:
        """Send the events after the given one; cut the first stream in the middle of its second event."""
        after = int(self.path.rpartition("after=")[2])
        type(self).streams += 1
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in EVENTS[after:]:
            text = f"data: {json.dumps(event)}\n\n".encode()
            if self.streams == 1 and event["sequence"] == "2":
                self._chunk(text[:20])
                self.close_connection = True
                self.connection.close()
                return
            self._chunk(text)
        self._chunk(b"")

    def _stream_trace(self) -> None:
        """Send the changes of a trace; cut the first stream after its third."""
        type(self).streams += 1
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in TRACE_EVENTS[: 3 if self.streams == 1 else None]:
            self._chunk(f"data: {json.dumps(event)}\n\n".encode())
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _answer(self, status: int, body: object) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A cut connection is part of the tests."""


@contextmanager
def running_mesh(home: Home) -> Iterator[list[dict[str, object]]]:
    """Serve on a free port as the mesh of `home`; gives the bodies that were posted."""
    pki = Pki(home.pki, SystemClock())
    pki.ensure([])

    class Handler(_Handler):
        submitted: ClassVar[list[dict[str, object]]] = []

    server = _Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.pair(EDGE).certificate, pki.pair(EDGE).key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    write_private(bootstrap_key_file(home), API_KEY)
    StateFile(home).write(state_of(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Handler.submitted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def state_of(port: int) -> MeshState:
    """The state of a mesh that this process supervises."""
    identity = ProcessIdentity.for_pid(os.getpid())
    assert identity is not None
    program = ProgramStatus(name="postgres", state=ProgramState.RUNNING, pid=4242, address="127.0.0.1:15432")
    return MeshState(
        phase=Phase.READY,
        supervisor=identity,
        started_at=datetime(2030, 1, 1, tzinfo=UTC),
        url=f"https://127.0.0.1:{port}",
        programs=(program,),
    )
