"""Watches traces: one reader of entries for each job, however many callers watch it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import AbstractContextManager, asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from mesh.errors import Reason, SomaError, not_found
from mesh.lifecycle import background
from mesh.tasks import end
from svc_provenance.domain.trace import build_trace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from mesh.clock import Clock
    from svc_provenance.app.traces import Traces
    from svc_provenance.domain.model import TraceEntry
    from svc_provenance.domain.trace import Trace

Notifications: TypeAlias = "Callable[[str], AbstractContextManager[asyncio.Event]]"
"""Returns, for a job, an event that is set when an entry of its trace was stored."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TraceSnapshot:
    """A trace at one moment, serialised: its parts in order, by name, and all of it."""

    parts: Mapping[str, bytes]
    trace: bytes


@dataclass(frozen=True)
class WatchTiming:
    """How a watch waits, in seconds.

    It waits `first_entry_timeout_s` for a job without entries, and for missing entries until
    `missing_entries_timeout_s` after the end of a job. Changes within `debounce_s` are read once; without any, entries
    are read again after `poll_interval_s`, and after `retry_interval_s` when a read failed. No other entry names a
    selection that selected nothing: where a step did not succeed, the end waits `late_selection_timeout_s` for it.
    After a read, the next one waits `pause_factor` times as long as the conversion took, half of
    `missing_entries_timeout_s` at most, so that a trace that grows large does not keep the processor busy.
    """

    first_entry_timeout_s: float = 2.0
    missing_entries_timeout_s: float = 60.0
    late_selection_timeout_s: float = 1.0
    debounce_s: float = 0.1
    poll_interval_s: float = 5.0
    retry_interval_s: float = 0.5
    pause_factor: float = 5.0


@dataclass(frozen=True)
class _ReadTrace:
    """A trace as read: `digest` is that of its entries, and for `pause_s` they are not read again."""

    trace: Trace
    snapshot: TraceSnapshot
    digest: bytes
    pause_s: float


class _TraceFeed:
    """The latest trace of one job, for all who watch it. A slow watcher skips to the latest: none are queued."""

    def __init__(self) -> None:
        self.watchers = 0
        self.version = 0
        self.latest: _ReadTrace | None = None
        self.failure: Exception | None = SomaError(
            Reason.OVERLOADED, "the trace of the job could not be read in time; try again shortly", retry_after_s=2.0
        )
        """Why there is nothing newer: at first because nothing was read."""
        self.reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    async def publish(self, latest: _ReadTrace) -> None:
        """Replaces the latest trace, and notifies all watchers."""
        async with self._changed:
            self.latest = latest
            self.version += 1
            self._changed.notify_all()

    async def newer(self, version: int, seconds: float | None) -> bool:
        """Waits for a newer trace; returns False when there was none in time. None waits for ever."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self.version > version)
        except TimeoutError:
            return False
        return True


class WatchTraces:
    """Streams traces. `make_snapshot` serialises a trace; `notifications` says when an entry of a job was stored."""

    def __init__(
        self,
        traces: Traces,
        make_snapshot: Callable[[str, Trace, Sequence[TraceEntry]], TraceSnapshot],
        notifications: Notifications,
        clock: Clock,
        timing: WatchTiming | None = None,
    ) -> None:
        self._traces = traces
        self._make_snapshot = make_snapshot
        self._notifications = notifications
        self._clock = clock
        self._timing = timing or WatchTiming()
        self._feeds: dict[tuple[str, str], _TraceFeed] = {}

    async def __call__(self, tenant_id: str, job_id: str) -> AsyncGenerator[bytes, None]:
        """Yields parts as they change, at last the whole trace; NOT_FOUND before the first part."""
        async with self._feed(tenant_id, job_id) as feed:
            if not await feed.newer(0, self._timing.first_entry_timeout_s):
                raise feed.failure or not_found("trace", job_id)
            sent: dict[str, bytes] = {}
            ended_at: float | None = None
            while True:
                version, latest = feed.version, feed.latest
                if latest is None:
                    raise not_found("trace", job_id)
                trace, snapshot = latest.trace, latest.snapshot
                for name, part in snapshot.parts.items():
                    if sent.get(name) != part:
                        sent[name] = part
                        yield part
                late_selection_timeout_s = self._timing.late_selection_timeout_s + latest.pause_s
                if trace.complete and not trace.all_succeeded and await feed.newer(version, late_selection_timeout_s):
                    continue
                if trace.complete or self._has_timed_out(ended_at):
                    yield snapshot.trace
                    return
                ended = trace.job is not None and trace.job.ended
                ended_at = (ended_at or self._clock.monotonic()) if ended else None
                await feed.newer(version, self._wait_s(ended_at))

    def _has_timed_out(self, ended_at: float | None) -> bool:
        return ended_at is not None and self._clock.monotonic() - ended_at >= self._timing.missing_entries_timeout_s

    def _wait_s(self, ended_at: float | None) -> float | None:
        """Returns for how long to wait for missing entries; None, without a limit, before the job has ended."""
        if ended_at is None:
            return None
        return max(0.001, ended_at + self._timing.missing_entries_timeout_s - self._clock.monotonic())

    @asynccontextmanager
    async def _feed(self, tenant_id: str, job_id: str) -> AsyncIterator[_TraceFeed]:
        key = tenant_id, job_id
        feed = self._feeds.setdefault(key, _TraceFeed())
        feed.watchers += 1
        if feed.reader is None:
            # In a context of its own: the deadline of the first watcher does not apply to the others.
            reading = self._run_reader(feed, tenant_id, job_id)
            feed.reader = asyncio.create_task(reading, name=f"trace {job_id}", context=Context())
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[key]
                await end(feed.reader)

    async def _run_reader(self, feed: _TraceFeed, tenant_id: str, job_id: str) -> None:
        async with background(lambda: self._read(feed, tenant_id, job_id), "trace-reader", clock=self._clock) as reader:
            await reader

    async def _read(self, feed: _TraceFeed, tenant_id: str, job_id: str) -> None:
        """Reads the entries of a job again whenever one was stored."""
        with self._notifications(job_id) as changed:
            resumes_at = 0.0
            while True:
                changed.clear()
                try:
                    known_digest = feed.latest.digest if feed.latest else b""
                    latest = await self._traces.read(tenant_id, job_id, partial(self._convert, job_id, known_digest))
                    if latest is not None:
                        await feed.publish(latest)
                        resumes_at = self._clock.monotonic() + latest.pause_s
                    feed.failure = None
                except Exception as error:  # noqa: BLE001 - an outage: they are read again
                    _log.warning("the trace of job %s cannot be read now: %s", job_id, error)
                    feed.failure = error
                notified = await self._wait_for_change(
                    changed, self._timing.poll_interval_s if feed.failure is None else self._timing.retry_interval_s
                )
                pause_s = resumes_at - self._clock.monotonic()
                await self._clock.sleep(max(self._timing.debounce_s if notified else 0.0, pause_s))

    def _convert(self, job_id: str, known_digest: bytes, entries: Sequence[TraceEntry]) -> _ReadTrace | None:
        """Returns the trace of entries; None when their digest is the known one."""
        started_at = self._clock.monotonic()
        digest = _digest(entries)
        if digest == known_digest:
            return None
        trace = build_trace(entries)
        snapshot = self._make_snapshot(job_id, trace, entries)
        pause_s = self._timing.pause_factor * (self._clock.monotonic() - started_at)
        return _ReadTrace(trace, snapshot, digest, min(pause_s, self._timing.missing_entries_timeout_s / 2))

    @staticmethod
    async def _wait_for_change(changed: asyncio.Event, seconds: float) -> bool:
        """Waits until an entry was stored; returns False when none was in time."""
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return False
        return True


def _digest(entries: Sequence[TraceEntry]) -> bytes:
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.kind} {entry.entry_id} {entry.occurred_at} {len(entry.document)} ".encode())
        digest.update(entry.document)
    return digest.digest()
