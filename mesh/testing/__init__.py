"""What tests stand on: real servers, a clock that is turned by hand, planted faults."""

from __future__ import annotations

from mesh.testing.clock import FakeClock, SlowWorkClock
from mesh.testing.ids import id_of
from mesh.testing.server import PLAINTEXT, AllowAll, RunningServer, served
from mesh.testing.tokens import ALICE, BOB, Issuer, acting_as

__all__ = [
    "ALICE",
    "BOB",
    "PLAINTEXT",
    "AllowAll",
    "FakeClock",
    "Issuer",
    "RunningServer",
    "SlowWorkClock",
    "acting_as",
    "id_of",
    "served",
]
