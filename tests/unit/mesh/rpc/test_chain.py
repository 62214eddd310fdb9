"""What the chain makes known to a handler, and whom it lets through."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import grpc
import pytest
import structlog

from mesh.errors import Reason, SomaError
from mesh.ids import SystemIds
from mesh.testing import ALICE, BOB, Issuer, RunningServer, served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import SimpleNamespace

    from mesh.context import Caller

    Dynamic = SimpleNamespace
    Context = grpc.aio.ServicerContext
    Headers = tuple[tuple[str, str], ...]
    Invoke = Callable[..., Awaitable[list[str]]]

KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")
every_kind = pytest.mark.parametrize("kind", KINDS)


async def failure(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


@every_kind
async def test_the_handler_knows_for_whom_it_works(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, servicer: Dynamic
) -> None:
    headers = (*authorized, ("x-request-id", "order-7"), ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"))
    await invoke(raw, kind, {"text": "hi"}, metadata=headers, timeout=30)
    (seen,) = servicer.seen.contexts
    assert (seen.caller.tenant_id, seen.caller.subject, seen.caller.key_id) == ("acme", "alice", "key-alice")
    assert (seen.request_id, seen.trace_id) == ("order-7", "ab" * 16)
    assert seen.deadline is not None


@every_kind
async def test_a_header_names_a_request_that_has_no_name(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, servicer: Dynamic
) -> None:
    keyed = (*authorized, ("idempotency-key", "order-7"))
    await invoke(raw, kind, {"text": "hi"}, {"text": "more"}, metadata=keyed)
    await invoke(raw, kind, {"request_id": "mine"}, metadata=keyed)
    expected = ["order-7", "", "mine"] if kind.startswith("Stream") else ["order-7", "mine"]
    assert servicer.seen.request_ids == expected


@every_kind
async def test_the_header_keeps_to_the_bounds_of_the_field(
    kind: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, servicer: Dynamic
) -> None:
    error = await failure(invoke(raw, kind, {}, metadata=(*authorized, ("idempotency-key", "x" * 21))))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "request_id" in (error.details() or "")
    assert servicer.seen.calls == 0


IDS = (("x-request-id", "order-7"), ("traceparent", f"00-{'ab' * 16}-{'cd' * 8}-01"))


def returned(metadata: grpc.aio.Metadata) -> tuple[str, str]:
    found = dict(metadata)
    return str(found.get("x-request-id", "")), str(found.get("x-trace-id", ""))


async def test_ids_are_returned_in_the_trailers_of_an_answer(
    probe: Dynamic, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    call = probe.grpc.ProbeStub(raw).UnaryUnary(probe.pb2.Ask(), metadata=(*authorized, *IDS))
    assert returned(await call.trailing_metadata()) == ("order-7", "ab" * 16)
    assert returned(await call.initial_metadata()) == ("", "")


async def test_an_answer_to_the_edge_is_one_write(probe: Dynamic, raw: grpc.aio.Channel, authorized: Headers) -> None:
    """The edge names ids and overhead by itself."""
    headers = (*authorized, *IDS, ("x-forwarded-proto", "https"))
    call = probe.grpc.ProbeStub(raw).UnaryUnary(probe.pb2.Ask(), metadata=headers)
    assert not tuple(await call.initial_metadata())


async def test_a_stream_returns_the_ids_in_its_headers(
    probe: Dynamic, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    call = probe.grpc.ProbeStub(raw).UnaryStream(probe.pb2.Ask(), metadata=(*authorized, *IDS))
    assert returned(await call.initial_metadata()) == ("order-7", "ab" * 16)


async def test_a_failed_call_sends_no_headers_so_that_it_can_be_retried(
    invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    error = await failure(invoke(raw, "UnaryUnary", {"behaviour": "soma"}, metadata=authorized))
    assert not tuple(error.initial_metadata())
    assert dict(error.trailing_metadata())["x-soma-reason"] == "BUDGET_EXCEEDED"


@pytest.mark.parametrize("sent", ["", "two words", "x" * 129, "{not-an-id}"])
async def test_a_request_id_that_is_none_is_replaced(
    sent: str, invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, servicer: Dynamic
) -> None:
    await invoke(raw, "UnaryUnary", {"text": "hi"}, metadata=(*authorized, ("x-request-id", sent)))
    assert len(servicer.seen.contexts[0].request_id) == len(SystemIds().new())


async def test_a_public_method_needs_no_caller_and_ignores_a_bad_one(invoke: Invoke, raw: grpc.aio.Channel) -> None:
    assert await invoke(raw, "Open", {"text": "hi"}) == ["you said hi"]
    assert await invoke(raw, "Open", {"text": "hi"}, metadata=(("authorization", "Bearer junk"),)) == ["you said hi"]


async def test_a_method_whose_contract_declares_no_access_is_open_to_nobody(
    invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers
) -> None:
    error = await failure(invoke(raw, "Undeclared", {"text": "hi"}, metadata=authorized))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_an_api_key_is_taken_from_its_header_or_as_a_bearer(
    server: RunningServer, invoke: Invoke, raw: grpc.aio.Channel
) -> None:
    key = f"soma_dev_{await server.issuer.token()}"
    for headers in (
        (("x-api-key", key),),
        (("authorization", f"Bearer {key}"),),
        (("authorization", f"bearer {key}"),),
    ):
        assert await invoke(raw, "UnaryUnary", {"text": "hi"}, metadata=headers) == ["you said hi"]


async def test_headers_that_claim_an_identity_are_not_believed(
    server: RunningServer, invoke: Invoke, raw: grpc.aio.Channel, servicer: Dynamic
) -> None:
    claimed = (("x-tenant-id", "umbrella"), ("x-soma-subject", "root"), ("x-api-key", await server.issuer.token()))
    await invoke(raw, "UnaryUnary", {"text": "hi"}, metadata=claimed)
    assert servicer.seen.contexts[0].caller.tenant_id == "acme"


class AllowAliceOnly:
    async def authorize(self, action: str, caller: Caller) -> None:
        if (action, caller.subject) != ("probe.ask", "alice"):
            raise SomaError(Reason.POLICY_DENIED, "Only alice may ask")


class Broken:
    def authorize(self, action: str, caller: Caller) -> None:
        raise RuntimeError("no policy")


@every_kind
async def test_policy_decides_by_action_and_caller(
    kind: str, probe: Dynamic, servicer: Dynamic, invoke: Invoke
) -> None:
    registration = (probe.grpc.add_ProbeServicer_to_server, servicer)
    async with served([registration], authorizer=AllowAliceOnly()) as running:
        assert await invoke(running.channel, kind, {"text": "hi"})
        with pytest.raises(SomaError) as caught:
            await invoke(await running.channel_as(BOB), kind, {"text": "hi"})
        assert caught.value.reason is Reason.POLICY_DENIED


@every_kind
async def test_a_broken_policy_lets_nobody_in(kind: str, probe: Dynamic, servicer: Dynamic, invoke: Invoke) -> None:
    async with served([(probe.grpc.add_ProbeServicer_to_server, servicer)], authorizer=Broken()) as running:
        with pytest.raises(SomaError) as caught:
            await invoke(running.channel, kind, {"text": "hi"})
    assert caught.value.reason is Reason.INTERNAL
    assert servicer.seen.calls == 0


async def test_a_revoked_key_is_refused_at_the_next_call(server: RunningServer, invoke: Invoke) -> None:
    assert await invoke(server.channel, "UnaryUnary", {"text": "hi"})
    server.issuer.revoked.add(ALICE.key_id)
    with pytest.raises(SomaError, match="revoked"):
        await invoke(server.channel, "UnaryUnary", {"text": "hi"})


async def test_an_unknown_method_is_refused_with_a_reason(raw: grpc.aio.Channel, authorized: Headers) -> None:
    call = raw.unary_unary("/probe.v1.Probe/Nothing")
    error = await failure(call(b"", metadata=authorized))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert dict(error.trailing_metadata())["x-soma-reason"] == "UNIMPLEMENTED"


async def test_defects_are_logged_with_their_traceback_and_mistakes_without(
    invoke: Invoke, raw: grpc.aio.Channel, authorized: Headers, capsys: pytest.CaptureFixture[str]
) -> None:
    from mesh import logging as mesh_logging
    from mesh.settings import TelemetrySettings

    root = logging.getLogger()
    kept = root.handlers[:], root.level
    mesh_logging.configure(TelemetrySettings())
    try:
        await failure(invoke(raw, "UnaryUnary", {"behaviour": "unknown"}, metadata=authorized))
        await failure(invoke(raw, "UnaryUnary", {"behaviour": "soma"}, metadata=authorized))
    finally:
        root.handlers[:], root.level = kept
        structlog.reset_defaults()
    lines = capsys.readouterr().err.splitlines()
    defect = next(line for line in lines if '"error"' in line)
    mistake = next(line for line in lines if "BUDGET_EXCEEDED" in line)
    assert "RuntimeError" in defect
    assert '"tenant_id": "acme"' in defect
    assert "Traceback" not in mistake


async def test_the_standard_chain_is_in_its_named_order() -> None:
    from mesh.clock import SystemClock
    from mesh.rpc.interceptor_chain import standard_chain
    from mesh.testing import AllowAll

    issuer = await Issuer.create()
    chain = standard_chain(verifier=issuer.verifier, authorizer=AllowAll(), clock=SystemClock())
    names = [
        "Errors",
        "Tracing",
        "Metrics",
        "Version",
        "Logging",
        "Identity",
        "StreamIdentity",
        "Tenancy",
        "Authorization",
        "Deadline",
        "Idempotency",
        "HeavyTenants",
        "LargeRequests",
        "Validation",
    ]
    assert [type(interceptor).__name__ for interceptor in chain] == names
