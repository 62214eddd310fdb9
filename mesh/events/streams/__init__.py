"""The event bus on Valkey streams: the embedded default."""

from __future__ import annotations

from mesh.events.streams.bus import ValkeyStreams
from mesh.events.streams.cursors import Cursor, Cursors, MemoryCursors, PostgresCursors

__all__ = ["Cursor", "Cursors", "MemoryCursors", "PostgresCursors", "ValkeyStreams"]
