"""The stream of WatchCapabilities: a snapshot and changes, in messages that are bounded by bytes."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from mesh.logging import get_logger
from mesh.rpc.sizes import MESSAGE_BYTES
from soma.registry.v1 import capability_pb2
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.rpc.convert import capability_to_proto, ladder_to_proto

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

    from mesh.rpc.heartbeats import Heartbeats
    from svc_registry.app import Catalog, Change, View
    from svc_registry.domain import Ladder

MAX_ENTRY_BYTES = 3 * 1024 * 1024 + 512 * 1024
"""What cannot be sent in any message: receivers accept 4 MiB. Registration does not let it in."""
_Entry = capability_pb2.Capability | pb.OwnedLadder
_log = get_logger(__name__)


class WatchStream:
    """Follows a catalogue for one watcher."""

    def __init__(self, catalog: Catalog, heartbeats: Heartbeats) -> None:
        self._catalog = catalog
        self._heartbeats = heartbeats

    async def messages(self, resume_token: str) -> AsyncIterator[pb.WatchCapabilitiesResponse]:
        """A snapshot unless the token is of this process and its changes are still kept, then what changes."""
        given_out = ""

        async def heartbeat() -> pb.WatchCapabilitiesResponse:
            return _heartbeat(given_out)

        async with aclosing(self._heartbeats.add_to(self._news(resume_token), heartbeat)) as messages:
            async for message in messages:
                given_out = message.resume_token or given_out
                yield message

    async def _news(self, resume_token: str) -> AsyncGenerator[pb.WatchCapabilitiesResponse, None]:
        subscription = self._catalog.subscribe(self._revision(resume_token))
        if subscription is not None:
            yield _heartbeat(self._token(subscription.after))
        while True:
            if subscription is None:
                view = self._catalog.view()
                for message in self._snapshot(view):
                    yield message
                subscription = self._catalog.subscribe(view.revision)
                continue
            changes = await subscription.next()
            if changes is None:
                subscription = None
            else:
                for message in self._deltas(changes):
                    yield message

    def _revision(self, token: str) -> int:
        epoch, _, revision = token.partition(":")
        return int(revision) if epoch == self._catalog.epoch and revision.isdecimal() else -1

    def _token(self, revision: int) -> str:
        return f"{self._catalog.epoch}:{revision}"

    def _snapshot(self, view: View) -> Iterator[pb.WatchCapabilitiesResponse]:
        """All but the last message are held back by one, since the last carries the token."""
        last = pb.WatchCapabilitiesResponse()
        for message in _snapshot_messages(view):
            if last.capabilities or last.ladders:
                last.snapshot = True
                yield last
            last = message
        last.snapshot = last.complete = True
        last.resume_token = self._token(view.revision)
        yield last

    def _deltas(self, changes: Iterable[Change]) -> Iterator[pb.WatchCapabilitiesResponse]:
        """Each message can be resumed after."""
        message = pb.WatchCapabilitiesResponse(complete=True)
        size = 0
        for change in changes:
            entry = _entry(change)
            size += _size(entry)
            if size > MESSAGE_BYTES and message.resume_token:
                yield message
                message, size = pb.WatchCapabilitiesResponse(complete=True), _size(entry)
            _add(message, entry)
            message.resume_token = self._token(change.revision)
        yield message


def _heartbeat(token: str) -> pb.WatchCapabilitiesResponse:
    """What it says of the view is as of the message that gave the token; without one the view is not whole yet."""
    return pb.WatchCapabilitiesResponse(complete=bool(token), heartbeat=True, resume_token=token)


def _snapshot_messages(view: View) -> Iterator[pb.WatchCapabilitiesResponse]:
    """Capabilities, then ladders; no message has both."""
    yield from _split(capability_to_proto(item) for item in view.capabilities)
    yield from _split(_owned(item) for item in view.ladders)


def _split(entries: Iterable[_Entry]) -> Iterator[pb.WatchCapabilitiesResponse]:
    message, size = pb.WatchCapabilitiesResponse(), 0
    for entry in entries:
        length = _size(entry)
        if size and size + length > MESSAGE_BYTES:
            yield message
            message, size = pb.WatchCapabilitiesResponse(), 0
        _add(message, entry)
        size += length
    if message.capabilities or message.ladders:
        yield message


def _add(message: pb.WatchCapabilitiesResponse, entry: _Entry) -> None:
    if _size(entry) > MAX_ENTRY_BYTES:
        _log.error("too large to be watched", entry=getattr(entry, "capability_id", "ladder"))
    elif isinstance(entry, pb.OwnedLadder):
        message.ladders.append(entry)
    else:
        message.capabilities.append(entry)


def _size(entry: _Entry) -> int:
    return entry.ByteSize()


def _entry(change: Change) -> _Entry:
    if change.ladder is not None:
        return _owned(change.ladder)
    if change.capability is None:
        raise ValueError("a change is of a capability or of a ladder")
    return capability_to_proto(change.capability)


def _owned(ladder: Ladder) -> pb.OwnedLadder:
    return pb.OwnedLadder(tenant_id=ladder.tenant_id, ladder=ladder_to_proto(ladder))
