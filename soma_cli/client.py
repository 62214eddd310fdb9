"""A client of the REST API of the mesh, with server-sent events, through the edge and with an API key."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import httpx
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, ValidationError

from soma.assets.v1.asset_pb2 import Asset
from soma.executor.v1.job_pb2 import Job, JobEvent
from soma.executor.v1.job_service_pb2 import ListJobsResponse
from soma.gateway.v1.identity_service_pb2 import Token
from soma.provenance.v1.trace_service_pb2 import TraceEvent
from soma_cli.errors import EdgeError
from soma_cli.messages import parse
from soma_local.environment import bootstrap_key_file
from soma_local.supervisor import StateFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from soma_local.home import Home

M = TypeVar("M", bound=Message)
_TIMEOUT = httpx.Timeout(30.0)
_STREAM_TIMEOUT = httpx.Timeout(30.0, read=45.0)  # a heartbeat comes at least every 15 s
_MAX_RECONNECTS = 60
_RECONNECT_DELAY_S = 0.5
_RETRYABLE_STATUS = {502, 503, 504}  # a service that is being restarted
_CHUNK_BYTES = 1 << 18


class _FieldViolation(BaseModel):
    model_config = ConfigDict(extra="ignore")

    field: str = ""
    subject: str = ""
    description: str = ""

    @property
    def text(self) -> str:
        """The field and what is wrong with it, for people."""
        return f"{self.field or self.subject}: {self.description}"


class _Detail(BaseModel):
    model_config = ConfigDict(extra="ignore")

    reason: str = ""
    metadata: dict[str, str] = {}
    field_violations: tuple[_FieldViolation, ...] = ()
    violations: tuple[_FieldViolation, ...] = ()


class _Status(BaseModel):
    """A `google.rpc.Status`, the shape of every error of the edge.

    The generated message cannot be parsed when a detail has an unknown type.
    """

    model_config = ConfigDict(extra="ignore")

    code: int
    message: str
    details: tuple[_Detail, ...] = ()


class EdgeClient:
    """A client of one mesh. Each method raises EdgeError for an error response and when the mesh does not respond."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._delay = threading.Event()

    @classmethod
    @contextmanager
    def for_home(cls, home: Home) -> Iterator[EdgeClient]:
        """Connects to the mesh that runs in `home`, as its development tenant."""
        state = StateFile(home).running()
        if state is None:
            raise EdgeError(f"no mesh runs in {home.root}: start it with `soma up`")
        tls = ssl.create_default_context(cafile=str(home.pki / "ca.pem"))
        headers = {"Authorization": f"Bearer {api_key(home)}"}
        with httpx.Client(base_url=state.url, verify=tls, headers=headers, timeout=_TIMEOUT, trust_env=False) as http:
            yield cls(http)

    def submit_job(self, plan: Mapping[str, object], request_id: str) -> Job:
        """Submits a plan; the same `request_id` returns the same job."""
        return self._call(Job, "POST", "/v1/multimodal/jobs", body={"plan": plan, "request_id": request_id})

    def register_capability(self, capability: Mapping[str, object]) -> None:
        """Registers a capability; does nothing when it is registered already."""
        self._send("POST", "/v1/multimodal/capabilities", body=capability)

    def get_job(self, job_id: str) -> Job:
        """Reads a job with its steps."""
        return self._call(Job, "GET", f"/v1/multimodal/jobs/{job_id}")

    def list_jobs(self, *, state: str = "", page_size: int = 50) -> ListJobsResponse:
        """Reads the newest jobs, of one state if it is set."""
        query = {"page_size": str(page_size)} | ({"state": state} if state else {})
        return self._call(ListJobsResponse, "GET", "/v1/multimodal/jobs", query=query)

    def cancel_job(self, job_id: str, reason: str) -> Job:
        """Cancels a job, which is compensated."""
        return self._call(Job, "POST", f"/v1/multimodal/jobs/{job_id}:cancel", body={"reason": reason})

    def resume_job(self, job_id: str) -> Job:
        """Runs a failed job again from its recorded results."""
        return self._call(Job, "POST", f"/v1/multimodal/jobs/{job_id}:resume", body={})

    def get_json(self, path: str) -> str:
        """Returns a resource as JSON text."""
        return self._send("GET", path).text

    def create_token(self) -> Token:
        """Creates a short-lived token with the rights of the API key."""
        return self._call(Token, "POST", "/v1/token", body={})

    def get_asset(self, asset_id: str) -> Asset:
        """Reads an asset's metadata."""
        return self._call(Asset, "GET", f"/v1/multimodal/assets/{asset_id}/metadata")

    def post(self, message_type: type[M], path: str, body: Mapping[str, object]) -> M:
        """Posts to a resource and returns the parsed response."""
        return self._call(message_type, "POST", path, body=body)

    def download_asset(self, asset_id: str, target: Path) -> None:
        """Writes an asset's bytes to a file."""
        self.download(f"/v1/multimodal/assets/{asset_id}", target)

    def download(self, path: str, target: Path) -> None:
        """Writes a resource's bytes to a file."""
        with self._transport_errors(), self._http.stream("GET", path) as response:
            if response.is_error:
                response.read()
                raise _error(response)
            with target.open("wb") as file:
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    file.write(chunk)

    def watch_job(self, job_id: str, after: int = 0) -> Iterator[JobEvent]:
        """Returns the job's events after a sequence number; an interrupted stream resumes without gap or duplicate."""
        interruptions = 0
        while True:
            try:
                for event in self._events(job_id, after):
                    if event.sequence > after:
                        after, interruptions = event.sequence, 0
                        yield event
                    if event.terminal:
                        return
                reason = "it ended before the job did"
            except httpx.TransportError as failure:
                reason = str(failure)
            except EdgeError as failure:
                if failure.code not in _RETRYABLE_STATUS:
                    raise
                reason = str(failure)
            interruptions += 1
            if interruptions > _MAX_RECONNECTS:
                raise EdgeError(
                    f"the event stream of job {job_id} was interrupted {interruptions} times in a row: {reason}"
                )
            self._delay.wait(_RECONNECT_DELAY_S)

    def _events(self, job_id: str, after: int) -> Iterator[JobEvent]:
        for data in self._stream(f"/v1/multimodal/jobs/{job_id}/events", {"after": str(after)}):
            yield parse(JobEvent, data)

    def watch_trace(self, job_id: str) -> Iterator[str]:
        """Returns the changes of a job's trace as JSON, the complete trace last; an interrupted stream starts again."""
        for attempts_left in reversed(range(_MAX_RECONNECTS)):
            reason = "it ended before the trace did"
            try:
                for data in self._stream(f"/v1/traces/{job_id}/events", {}):
                    yield data
                    if parse(TraceEvent, data).HasField("trace"):
                        return
            except httpx.TransportError as failure:
                reason = str(failure)
            except EdgeError as failure:
                if failure.code not in _RETRYABLE_STATUS or not attempts_left:
                    raise
            self._delay.wait(_RECONNECT_DELAY_S)
        raise EdgeError(f"the trace of job {job_id} was interrupted {_MAX_RECONNECTS} times: {reason}")

    def _stream(self, path: str, query: Mapping[str, str]) -> Iterator[str]:
        """Returns the data of each server-sent event."""
        headers = {"Accept": "text/event-stream"}
        with self._http.stream("GET", path, params=query, headers=headers, timeout=_STREAM_TIMEOUT) as response:
            if response.is_error:
                response.read()
                raise _error(response)
            for line in response.iter_lines():
                if line.startswith("data:"):
                    yield line.removeprefix("data:").strip()

    def _call(
        self,
        message_type: type[M],
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> M:
        return parse(message_type, self._send(method, path, body=body, query=query).text)

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        with self._transport_errors():
            response = self._http.request(method, path, json=body, params=query)
        if response.is_error:
            raise _error(response)
        return response

    @contextmanager
    def _transport_errors(self) -> Iterator[None]:
        """Translates errors of the transport into EdgeError."""
        try:
            yield
        except httpx.TransportError as failure:
            raise EdgeError(f"the mesh at {self._http.base_url} does not answer: {failure}") from failure


def api_key(home: Home) -> str:
    """Returns the API key of the development tenant; raises EdgeError when the gateway has not written one."""
    file = bootstrap_key_file(home)
    if not file.exists():
        raise EdgeError(f"there is no API key in {file}: the gateway writes it at the first `soma up`")
    return file.read_text(encoding="utf-8").strip()


def _error(response: httpx.Response) -> EdgeError:
    """Returns the error of a `google.rpc.Status` body; of another body its status code and its text."""
    try:
        body = _Status.model_validate_json(response.content)
    except ValidationError:
        return EdgeError(f"HTTP {response.status_code}: {response.text[:500]}", code=response.status_code)
    violations = [
        violation.text for detail in body.details for violation in (*detail.field_violations, *detail.violations)
    ]
    return EdgeError(
        "\n  ".join([body.message, *(text for text in violations if text != body.message)]),
        code=response.status_code,
        reason=next((detail.reason for detail in body.details if detail.reason), ""),
        trace_id=next((d.metadata["trace_id"] for d in body.details if "trace_id" in d.metadata), ""),
    )
