"""Calls by name through the edge, and what a case of a repeated call is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict, ParseDict
from google.rpc import error_details_pb2
from grpc_status import rpc_status

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, object]


def unused(what: str) -> str:
    return f"{what}-{os.urandom(4).hex()}"


@dataclass
class Api:
    """Calls methods through the edge, as the development tenant's administrator."""

    channel: grpc.Channel
    key: str

    def __call__(self, name: str, body: Json) -> Json:
        method = descriptor_pool.Default().FindMethodByName(f"soma.{name}")
        request = ParseDict(body, message_factory.GetMessageClass(method.input_type)())
        answer = message_factory.GetMessageClass(method.output_type)
        call = self.channel.stream_unary if method.client_streaming else self.channel.unary_unary
        made = call(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )
        credential = [("authorization", f"Bearer {self.key}")]
        reply = made(iter([request]) if method.client_streaming else request, metadata=credential, timeout=60)
        return MessageToDict(reply, preserving_proto_field_name=True)

    def reason(self, name: str, body: Json) -> str:
        """Why a call is refused."""
        with pytest.raises(grpc.RpcError) as refused:
            self(name, body)
        status = rpc_status.from_call(refused.value)
        assert status is not None, refused.value
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in status.details), status
        return str(info.reason)

    def follow(self, job_id: object) -> None:
        """Waits for the end of a job."""
        names = ("soma.executor.v1.WatchJobRequest", "/soma.executor.v1.JobService/WatchJob")
        request = message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(names[0]))
        watch = self.channel.unary_stream(names[1], request_serializer=lambda message: message.SerializeToString())
        for _ in watch(request(job_id=job_id), metadata=[("authorization", f"Bearer {self.key}")], timeout=90):
            pass


@dataclass(frozen=True)
class Case:
    """A request, another one under the same id, and the name in the answer of what was written.

    `read` is a method and a request, whose answer tells everything that the call may change. `meanwhile` is given the
    first answer: it changes the same thing by a third request, or waits until what was started has ended.
    """

    body: Json
    other: Json
    name: str
    read: tuple[str, Json]
    meanwhile: Callable[[Json], object] = lambda _answer: None
