"""The demonstration: one real job, from the plan in `examples/` to files in a folder."""

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
"""What a plan writes where the address of the served example pages is to stand."""
ABSENT_URL = "{{absent_url}}"
"""What a capability writes where an address is to stand at which nothing answers."""

_TRACE_TIMEOUT_S = 30.0
_TRACE_POLL_S = 0.2
_LISTING = "files.txt"  # by which the next demonstration knows what it may replace
_DOCUMENT_TYPES = {"document", "bundle"}


def examples() -> Path:
    """Folder of the examples that come with the project."""
    return Path(next(iter(soma_cli.__path__))).parent / "examples"


def read_plan(path: Path, pages_url: str) -> dict[str, object]:
    """Read a plan and put the address of the example pages into it; raise EdgeError when it is none."""
    return _read_object(path, {PAGES_URL: pages_url})


def read_capabilities(plan: Path, absent_url: str) -> list[dict[str, object]]:
    """Read the capabilities that a plan wants registered first: `<plan>.capabilities/*.json` beside it."""
    folder = plan.with_suffix(".capabilities")
    return [_read_object(file, {ABSENT_URL: absent_url}) for file in sorted(folder.glob("*.json"))]


def _read_object(path: Path, values: Mapping[str, str]) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
        for mark, value in values.items():
            text = text.replace(mark, value)
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise EdgeError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise EdgeError(f"{path} must hold a JSON object")
    return found


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """Serve a folder's files on a loopback port while the context lasts; gives the base URL."""
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
        """Stay silent: the terminal shows the job."""


async def complete_trace(client: EdgeClient, job_id: str, clock: Clock) -> tuple[DecisionTrace, str]:
    """Wait until every fact of an ended job has arrived; give its Decision Trace and the JSON it came as."""
    until = clock.monotonic() + _TRACE_TIMEOUT_S
    while True:
        text = await asyncio.to_thread(client.raw, f"/v1/traces/{job_id}")
        trace = parse(DecisionTrace, text)
        if trace.complete:
            return trace, text
        if clock.monotonic() > until:
            raise EdgeError(f"the Decision Trace of job {job_id} was not complete after {_TRACE_TIMEOUT_S:.0f} s")
        await clock.sleep(_TRACE_POLL_S)


def save(client: EdgeClient, job: Job, trace_json: str, folder: Path) -> list[Path]:
    """Write all that the job made: documents on top, the rest below; give the documents' files."""
    _empty(folder)
    described = client.raw(f"/v1/multimodal/jobs/{job.job_id}/describe")
    written = [_write(folder / "trace.json", trace_json), _write(folder / "job.json", described)]
    documents: list[Path] = []
    for step in job.steps:
        for asset_id in step.asset_ids:
            asset = client.asset(asset_id)
            document = asset.asset_type in _DOCUMENT_TYPES
            name = Path(asset.filename or f"{asset_id}.{asset.format or 'bin'}").name
            target = _unused(folder / name if document else folder / "assets" / f"{step.step_id}-{name}")
            client.download(asset_id, target)
            provenance = client.raw(f"/v1/multimodal/provenance/{asset_id}")
            written += [target, _write(folder / "provenance" / f"{target.name}.json", provenance)]
            documents += [target] if document else []
    names = sorted(str(file.relative_to(folder)) for file in written)
    (folder / _LISTING).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return documents


def _empty(folder: Path) -> None:
    """Make the folder, without what an earlier demonstration wrote into it."""
    listing = folder / _LISTING
    if listing.exists():
        for name in listing.read_text(encoding="utf-8").splitlines():
            (folder / name).unlink(missing_ok=True)
        listing.unlink()
    for part in (folder, folder / "assets", folder / "provenance"):
        part.mkdir(parents=True, exist_ok=True)


def _unused(path: Path) -> Path:
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free


def _write(file: Path, text: str) -> Path:
    """Write JSON indented, so that people can read it."""
    file.write_text(json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file
