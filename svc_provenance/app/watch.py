"""Watching a trace grow: one reader of facts for each job, however many watch it."""

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
from svc_provenance.domain.trace import join

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    from mesh.clock import Clock
    from svc_provenance.app.traces import Traces
    from svc_provenance.domain.model import Fact
    from svc_provenance.domain.trace import Trace

Notifications: TypeAlias = "Callable[[str], AbstractContextManager[asyncio.Event]]"
"""Gives, for a job, an event that is set when a fact of it was kept."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TraceSnapshot:
    """A trace as it stands: its parts in order, serialised, by what they are parts of, and the whole."""

    parts: Mapping[str, bytes]
    whole: bytes


@dataclass(frozen=True)
class WatchTiming:
    """How a watch goes, in seconds.

    A job without facts is waited for `first_s`; facts that are missing `missing_facts_timeout_s` after the end of a job
    are not waited for any longer. News within `gather_s` is read once; without any, facts are read again after
    `poll_s`, and after `retry_s` when they could not be. A choice that found nothing is named by no other fact: where a
    step did not succeed, the end waits for it `settle_s`. After a trace was drawn its facts are not read for `rest`
    times as long as that took, half of `missing_facts_timeout_s` at most, so that one that grows large does not keep
    the processor busy.
    """

    first_s: float = 2.0
    missing_facts_timeout_s: float = 60.0
    settle_s: float = 1.0
    gather_s: float = 0.1
    poll_s: float = 5.0
    retry_s: float = 0.5
    rest: float = 5.0


@dataclass(frozen=True)
class _Drawing:
    """What was made of facts: `digest` is theirs, and for `rest_s` they are not read again."""

    trace: Trace
    snapshot: TraceSnapshot
    digest: bytes
    rest_s: float


class _Feed:
    """The newest drawing of one job, for all who watch it. A slow reader finds the newest one: none are queued."""

    def __init__(self) -> None:
        self.watchers = 0
        self.version = 0
        self.drawing: _Drawing | None = None
        self.failure: Exception | None = SomaError(
            Reason.OVERLOADED, "the facts of the job could not be read in time; try again shortly", retry_after_s=2.0
        )
        """Why there is nothing newer: at first because nothing was read."""
        self.reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    async def show(self, drawing: _Drawing) -> None:
        """Replace the drawing, and tell everybody."""
        async with self._changed:
            self.drawing = drawing
            self.version += 1
            self._changed.notify_all()

    async def newer(self, version: int, seconds: float | None) -> bool:
        """Wait for a newer drawing; False when there was none in time, of which None has any amount."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self.version > version)
        except TimeoutError:
            return False
        return True


class WatchTraces:
    """Streams traces. `make_snapshot` makes a snapshot; `notifications` tell of new facts of a job."""

    def __init__(
        self,
        traces: Traces,
        make_snapshot: Callable[[str, Trace, Sequence[Fact]], TraceSnapshot],
        notifications: Notifications,
        clock: Clock,
        pace: WatchTiming | None = None,
    ) -> None:
        self._traces = traces
        self._make_snapshot = make_snapshot
        self._notifications = notifications
        self._clock = clock
        self._pace = pace or WatchTiming()
        self._feeds: dict[tuple[str, str], _Feed] = {}

    async def __call__(self, tenant_id: str, job_id: str) -> AsyncGenerator[bytes, None]:
        """Parts as they change, at last the whole trace. NOT_FOUND, before the first part."""
        async with self._feed(tenant_id, job_id) as feed:
            if not await feed.newer(0, self._pace.first_s):
                raise feed.failure or not_found("trace", job_id)
            sent: dict[str, bytes] = {}
            ended_at: float | None = None
            while True:
                version, drawing = feed.version, feed.drawing
                if drawing is None:
                    raise not_found("trace", job_id)
                trace, snapshot = drawing.trace, drawing.snapshot
                for name, part in snapshot.parts.items():
                    if sent.get(name) != part:
                        sent[name] = part
                        yield part
                settle_s = self._pace.settle_s + drawing.rest_s
                if trace.complete and not trace.all_succeeded and await feed.newer(version, settle_s):
                    continue
                if trace.complete or self._given_up(ended_at):
                    yield snapshot.whole
                    return
                ended = trace.job is not None and trace.job.ended
                ended_at = (ended_at or self._clock.monotonic()) if ended else None
                await feed.newer(version, self._wait_s(ended_at))

    def _given_up(self, ended_at: float | None) -> bool:
        return ended_at is not None and self._clock.monotonic() - ended_at >= self._pace.missing_facts_timeout_s

    def _wait_s(self, ended_at: float | None) -> float | None:
        """Until missing facts are not waited for any longer; None before the job has ended."""
        if ended_at is None:
            return None
        return max(0.001, ended_at + self._pace.missing_facts_timeout_s - self._clock.monotonic())

    @asynccontextmanager
    async def _feed(self, tenant_id: str, job_id: str) -> AsyncIterator[_Feed]:
        key = tenant_id, job_id
        feed = self._feeds.setdefault(key, _Feed())
        feed.watchers += 1
        if feed.reader is None:
            # In a context of its own: the deadline of whoever came first is nobody else's.
            reading = self._keep_reading(feed, tenant_id, job_id)
            feed.reader = asyncio.create_task(reading, name=f"trace {job_id}", context=Context())
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[key]
                await end(feed.reader)

    async def _keep_reading(self, feed: _Feed, tenant_id: str, job_id: str) -> None:
        async with background(lambda: self._read(feed, tenant_id, job_id), "trace-reader", clock=self._clock) as reader:
            await reader

    async def _read(self, feed: _Feed, tenant_id: str, job_id: str) -> None:
        """Read the facts of a job again whenever one was kept."""
        with self._notifications(job_id) as kept:
            resumes_at = 0.0
            while True:
                kept.clear()
                try:
                    known = feed.drawing.digest if feed.drawing else b""
                    drawing = await self._traces.read(tenant_id, job_id, partial(self._drawn, job_id, known))
                    if drawing is not None:
                        await feed.show(drawing)
                        resumes_at = self._clock.monotonic() + drawing.rest_s
                    feed.failure = None
                except Exception as error:  # noqa: BLE001 - an outage: they are read again
                    _log.warning("the facts of job %s cannot be read now: %s", job_id, error)
                    feed.failure = error
                notified = await self._wait_for_fact(
                    kept, self._pace.poll_s if feed.failure is None else self._pace.retry_s
                )
                rest_s = resumes_at - self._clock.monotonic()
                await self._clock.sleep(max(self._pace.gather_s if notified else 0.0, rest_s))

    def _drawn(self, job_id: str, known: bytes, facts: Sequence[Fact]) -> _Drawing | None:
        """What is drawn of facts; None where they are known by their digest."""
        began = self._clock.monotonic()
        digest = _digest(facts)
        if digest == known:
            return None
        trace = join(facts)
        snapshot = self._make_snapshot(job_id, trace, facts)
        rest_s = self._pace.rest * (self._clock.monotonic() - began)
        return _Drawing(trace, snapshot, digest, min(rest_s, self._pace.missing_facts_timeout_s / 2))

    @staticmethod
    async def _wait_for_fact(kept: asyncio.Event, seconds: float) -> bool:
        """Wait until a fact was kept; False when none was in time."""
        try:
            async with asyncio.timeout(seconds):
                await kept.wait()
        except TimeoutError:
            return False
        return True


def _digest(facts: Sequence[Fact]) -> bytes:
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(f"{fact.kind} {fact.fact_id} {fact.occurred_at} {len(fact.document)} ".encode())
        digest.update(fact.document)
    return digest.digest()
