"""The tenant whose calls are measured, and what it has."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict, ParseDict

from mesh.identity.key_ids import KeyIds
from mesh.identity.revocation_buckets import RevocationBuckets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from google.protobuf.descriptor import MethodDescriptor

Json = dict[str, object]
SERVICE = "service"
TENANT = "dev"
CHART = {"chart": {"kind": "bar", "title": "growth", "series": [{"name": "s", "x": ["a", "b"], "y": [1, 2]}]}}
PLAN: Json = {
    "version": "1.0",
    "tasks": [{"task_id": "a", "step_type": "generate_diagram", "task_type": "chart", "params": CHART}],
}
FAILING_PLAN: Json = {
    "version": "1.0",
    "tasks": [{"task_id": "a", "step_type": "generate_image", "task_type": "image_photo", "params": {"prompt": "a"}}],
}
DOCUMENT: Json = {
    "version": "1.0",
    "tasks": [
        {
            "task_id": "d",
            "step_type": "compose_document",
            "params": {"title": "Growth", "sections": [{"id": "one", "title": "One", "body": "Words."}]},
        }
    ],
}


def method(name: str) -> MethodDescriptor:
    """A method by its full name without the package's beginning, such as `registry.v1.CapabilityService.GetLadder`."""
    service, _, short = f"soma.{name}".rpartition(".")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[short]


@dataclass
class World:
    """Channels to each context, tokens by caller, and ids of what the tenant has."""

    channels: Mapping[str, grpc.aio.Channel]
    tokens: dict[str, str]
    dead_letter: Callable[[], Awaitable[str]]
    service_token: Callable[[], Awaitable[str]]
    ids: dict[str, str] = field(default_factory=dict)
    numbers: int = 0
    revocations: RevocationBuckets = field(default_factory=RevocationBuckets)
    key_ids: KeyIds = field(default_factory=KeyIds)
    resume_token: str = ""

    def number(self) -> int:
        """A number that was not given before."""
        self.numbers += 1
        return self.numbers

    async def renew_tokens(self) -> None:
        """Get a new token of a service, which is good for some minutes only."""
        self.tokens[SERVICE] = await self.service_token()

    async def ask(self, name: str, body: Json | Sequence[Json], caller: str = "dev") -> Json:
        """The answer of a method; of a stream, its first message."""
        return (await self.timed(name, body, caller))[0]

    async def timed(self, name: str, body: Json | Sequence[Json], caller: str = "dev") -> tuple[Json, float]:
        """The answer of a method and the seconds until it was there."""
        found = method(name)
        requests = [_request(found, each) for each in (body if isinstance(body, list) else [body])]
        reply = message_factory.GetMessageClass(found.output_type)
        call = self._call(found, name)
        argument = iter(requests) if found.client_streaming else requests[0]
        began = time.perf_counter()
        made = call(argument, metadata=self._metadata(caller), timeout=60)
        try:
            answer = await anext(aiter(made), reply()) if found.server_streaming else await made
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            answer = reply()  # it was read, judged and refused, as a dead letter that nobody can read is
        taken = time.perf_counter() - began
        if found.server_streaming:
            made.cancel()
        return MessageToDict(answer, preserving_proto_field_name=True), taken

    async def stream(self, name: str, body: Json, caller: str) -> AsyncIterator[Any]:
        """The messages of a stream, for two minutes at most."""
        found = method(name)
        call = self._call(found, name)(_request(found, body), metadata=self._metadata(caller), timeout=120)
        try:
            async for message in call:
                yield message
        finally:
            call.cancel()

    def _call(self, found: MethodDescriptor, name: str) -> Callable[..., Any]:
        kind = ("stream" if found.client_streaming else "unary") + ("_stream" if found.server_streaming else "_unary")
        made: Callable[..., Any] = getattr(self.channels[name.partition(".")[0]], kind)(
            f"/{found.containing_service.full_name}/{found.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )
        return made

    def _metadata(self, caller: str) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.tokens[caller]}")]

    async def ended(self, job_id: str) -> Json:
        """A job, once it has ended."""
        while True:
            job = await self.ask("executor.v1.JobService.GetJob", {"job_id": job_id})
            if job["state"] not in {"JOB_STATE_PENDING", "JOB_STATE_RUNNING"}:
                return job
            await asyncio.sleep(0.1)


def _request(found: MethodDescriptor, body: Json) -> object:
    return ParseDict(body, message_factory.GetMessageClass(found.input_type)())
