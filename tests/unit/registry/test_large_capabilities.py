"""Capabilities, whose schemas may be large, are read in a thread."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from mesh.context import Caller, RequestContext, use
from mesh.errors import Reason, SomaError
from soma.registry.v1 import capability_service_pb2 as pb
from svc_registry.rpc import capability_service
from tests.unit.registry.unasked import unasked


@pytest.mark.parametrize(
    ("call", "request_"),
    [
        ("RegisterCapability", pb.RegisterCapabilityRequest()),
        ("UpdateCapability", pb.UpdateCapabilityRequest()),
    ],
)
async def test_a_capability_is_read_in_a_thread(call: str, request_: object, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def read(_: object) -> None:
        threads.append(threading.get_ident())
        raise SomaError(Reason.INVALID_ARGUMENT, "seen")

    monkeypatch.setattr(capability_service, "capability_from_proto", read)
    servicer = capability_service.CapabilityServicer(cast("Any", None), cast("Any", None), unasked)
    with use(RequestContext(Caller("acme", "ann", (), (), "k1", "t"), "r1", "t1")), pytest.raises(SomaError):
        await getattr(servicer, call)(request_, None)
    assert threads
    assert threading.get_ident() not in threads
