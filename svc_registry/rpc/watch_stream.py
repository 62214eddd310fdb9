"""The response stream of WatchCapabilities: a snapshot and changes, in messages of bounded size."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from mesh.logging import get_logger
from mesh.rpc.sizes import MESSAGE_BYTES
from soma.registry.v1 import capability_pb2
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.rpc.convert import (
    capability_to_proto,
    change_to_proto,
    heartbeat_to_proto,
    owned_ladder_to_proto,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

    from mesh.rpc.heartbeats import Heartbeats
    from svc_registry.app import Catalog, Change, Snapshot

MAX_ENTRY_BYTES = 3 * 1024 * 1024 + 512 * 1024
"""Entries above this size are not sent, as receivers accept messages of 4 MiB; registration rejects them before."""
_Entry = capability_pb2.Capability | pb.OwnedLadder
"""What a message has several of."""
_log = get_logger(__name__)


class WatchStream:
    """The response stream of one watcher of a catalog."""

    def __init__(self, catalog: Catalog, heartbeats: Heartbeats) -> None:
        self._catalog = catalog
        self._heartbeats = heartbeats

    async def messages(self, resume_token: str) -> AsyncIterator[pb.WatchCapabilitiesResponse]:
        """Sends a snapshot, unless the changes after the token are still in the history, then the changes.

        A heartbeat repeats the last token that was sent.
        """
        sent_token = ""

        async def heartbeat() -> pb.WatchCapabilitiesResponse:
            return heartbeat_to_proto(sent_token)

        async with aclosing(self._heartbeats.add_to(self._updates(resume_token), heartbeat)) as messages:
            async for message in messages:
                sent_token = message.resume_token or sent_token
                yield message

    async def _updates(self, resume_token: str) -> AsyncGenerator[pb.WatchCapabilitiesResponse, None]:
        subscription = self._catalog.subscribe(self._revision(resume_token))
        if subscription is not None:
            yield heartbeat_to_proto(self._token(subscription.revision))
        while True:
            if subscription is None:
                snapshot = self._catalog.snapshot()
                for message in self._snapshot_messages(snapshot):
                    yield message
                subscription = self._catalog.subscribe(snapshot.revision)
                continue
            changes = await subscription.next()
            if changes is None:
                subscription = None
            else:
                for message in self._change_messages(changes):
                    yield message

    def _revision(self, token: str) -> int:
        epoch, _, revision = token.partition(":")
        return int(revision) if epoch == self._catalog.epoch and revision.isdecimal() else -1

    def _token(self, revision: int) -> str:
        return f"{self._catalog.epoch}:{revision}"

    def _snapshot_messages(self, snapshot: Snapshot) -> Iterator[pb.WatchCapabilitiesResponse]:
        """Each message is sent once its successor is known, since the last one carries the token."""
        last = pb.WatchCapabilitiesResponse()
        for message in _split_snapshot(snapshot):
            if last.capabilities or last.ladders:
                last.snapshot = True
                yield last
            last = message
        last.snapshot = last.complete = True
        last.resume_token = self._token(snapshot.revision)
        yield last

    def _change_messages(self, changes: Iterable[Change]) -> Iterator[pb.WatchCapabilitiesResponse]:
        """Each message carries the token of its last change."""
        message = pb.WatchCapabilitiesResponse(complete=True)
        size = 0
        for change in changes:
            entry = change_to_proto(change)
            size += entry.ByteSize()
            if size > MESSAGE_BYTES and message.resume_token:
                yield message
                message, size = pb.WatchCapabilitiesResponse(complete=True), entry.ByteSize()
            _add(message, entry)
            message.resume_token = self._token(change.revision)
        yield message


def _split_snapshot(snapshot: Snapshot) -> Iterator[pb.WatchCapabilitiesResponse]:
    """Returns messages of capabilities, then of ladders; no message has both."""
    yield from _split(map(capability_to_proto, snapshot.capabilities))
    yield from _split(map(owned_ladder_to_proto, snapshot.ladders))


def _split(entries: Iterable[_Entry]) -> Iterator[pb.WatchCapabilitiesResponse]:
    message, size = pb.WatchCapabilitiesResponse(), 0
    for entry in entries:
        entry_size = entry.ByteSize()
        if size and size + entry_size > MESSAGE_BYTES:
            yield message
            message, size = pb.WatchCapabilitiesResponse(), 0
        _add(message, entry)
        size += entry_size
    if message.capabilities or message.ladders:
        yield message


def _add(message: pb.WatchCapabilitiesResponse, entry: _Entry) -> None:
    if entry.ByteSize() > MAX_ENTRY_BYTES:
        _log.error("entry is too large for a watch message", entry=getattr(entry, "capability_id", "ladder"))
    elif isinstance(entry, pb.OwnedLadder):
        message.ladders.append(entry)
    else:
        message.capabilities.append(entry)


def _size(entry: _Entry) -> int:
    return entry.ByteSize()
