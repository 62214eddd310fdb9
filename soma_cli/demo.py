"""The demo: one job, from a plan in `examples/` to files in a folder."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import soma_cli
from soma.provenance.v1.trace_service_pb2 import DecisionTrace
from soma_cli.errors import EdgeError
from soma_cli.messages import parse
from soma_local.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mesh.clock import Clock
    from soma.executor.v1.job_pb2 import Job
    from soma_cli.client import EdgeClient

PAGES_URL = "{{examples_url}}"
"""The placeholder in a plan for the base URL of the example pages."""
UNREACHABLE_URL = "{{absent_url}}"
"""The placeholder in a capability for the URL of a server that does not exist."""

_TRACE_TIMEOUT_S = 30.0
_TRACE_POLL_S = 0.2
_FILE_LIST = "files.txt"  # the next run deletes these files
_DOCUMENT_TYPES = {"document", "bundle"}


def examples_folder() -> Path:
    """Returns the folder of the examples that come with the project."""
    return Path(next(iter(soma_cli.__path__))).parent / "examples"


def read_plan(path: Path, pages_url: str) -> dict[str, object]:
    """Reads a plan and inserts the base URL of the example pages; raises EdgeError when it is not a JSON object."""
    return _read_object(path, {PAGES_URL: pages_url})


def read_capabilities(plan: Path, unreachable_url: str) -> list[dict[str, object]]:
    """Reads the capabilities that a plan needs to be registered: `<plan>.capabilities/*.json` beside it."""
    folder = plan.with_suffix(".capabilities")
    return [_read_object(file, {UNREACHABLE_URL: unreachable_url}) for file in sorted(folder.glob("*.json"))]


def _read_object(path: Path, values: Mapping[str, str]) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
        for placeholder, value in values.items():
            text = text.replace(placeholder, value)
        parsed = json.loads(text)
    except (OSError, ValueError) as error:
        raise EdgeError(f"{path} is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise EdgeError(f"{path} must be a JSON object")
    return parsed


@contextmanager
def serve_folder(folder: Path, port: int) -> Iterator[str]:
    """Serves the files of a folder on a loopback port within the block; yields the base URL."""
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), partial(_SilentRequestHandler, directory=str(folder)))
    except OSError as error:
        raise EdgeError(f"the example pages cannot be served on port {port}: {error.strerror}") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _SilentRequestHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Logs nothing: the terminal shows the job."""


async def wait_for_complete_trace(client: EdgeClient, job_id: str, clock: Clock) -> tuple[DecisionTrace, str]:
    """Waits until the Decision Trace of an ended job is complete; returns it and its JSON."""
    deadline = clock.monotonic() + _TRACE_TIMEOUT_S
    while True:
        text = await asyncio.to_thread(client.get_json, f"/v1/traces/{job_id}")
        trace = parse(DecisionTrace, text)
        if trace.complete:
            return trace, text
        if clock.monotonic() > deadline:
            raise EdgeError(f"the Decision Trace of job {job_id} was not complete after {_TRACE_TIMEOUT_S:.0f} s")
        await clock.sleep(_TRACE_POLL_S)


def save(client: EdgeClient, job: Job, trace_json: str, folder: Path) -> list[Path]:
    """Writes the outputs of a job: documents at the top, the rest in subfolders; returns the files of the documents."""
    _prepare_folder(folder)
    description = client.get_json(f"/v1/multimodal/jobs/{job.job_id}/describe")
    written = [_write(folder / "trace.json", trace_json), _write(folder / "job.json", description)]
    documents: list[Path] = []
    for step in job.steps:
        for asset_id in step.asset_ids:
            asset = client.get_asset(asset_id)
            is_document = asset.asset_type in _DOCUMENT_TYPES
            name = Path(asset.filename or f"{asset_id}.{asset.format or 'bin'}").name
            target = _unused_path(folder / name if is_document else folder / "assets" / f"{step.step_id}-{name}")
            client.download_asset(asset_id, target)
            provenance = client.get_json(f"/v1/multimodal/provenance/{asset_id}")
            written += [target, _write(folder / "provenance" / f"{target.name}.json", provenance)]
            documents += [target] if is_document else []
    names = sorted(str(file.relative_to(folder)) for file in written)
    (folder / _FILE_LIST).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return documents


def _prepare_folder(folder: Path) -> None:
    """Creates the folder, and deletes the files that an earlier run wrote to it."""
    listing = folder / _FILE_LIST
    if listing.exists():
        for name in listing.read_text(encoding="utf-8").splitlines():
            (folder / name).unlink(missing_ok=True)
        listing.unlink()
    for subfolder in (folder, folder / "assets", folder / "provenance"):
        subfolder.mkdir(parents=True, exist_ok=True)


def _unused_path(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem}-{number}")
    return candidate


def _write(file: Path, text: str) -> Path:
    """Writes JSON with indentation."""
    file.write_text(json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file
