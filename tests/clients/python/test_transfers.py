"""Uploads are one request however often they are sent; downloads are there as a whole or not at all."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest
from google.api import httpbody_pb2
from google.protobuf import json_format

from soma.assets.v1 import asset_pb2
from soma_client import DataLossError, InvalidArgumentError, NotFoundError, UnavailableError, calls
from tests.clients.python.edge import ASSETS, Edge, Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from soma_client import SomaClient

UPLOAD, DOWNLOAD, GET = f"{ASSETS}/UploadAsset", f"{ASSETS}/DownloadAsset", f"{ASSETS}/GetAsset"
CONTENT = bytes(range(256)) * 2_500  # 640,000 bytes: three messages
ASSET = asset_pb2.Asset(asset_id="a1", size_bytes=len(CONTENT), checksum_sha256=hashlib.sha256(CONTENT).hexdigest())


def received(edge: Edge, call: int = 0) -> bytes:
    return b"".join(message.content.data for message in edge.calls[call].messages)


def pieces(content: bytes, size: int = 100_000) -> list[httpbody_pb2.HttpBody]:
    return [httpbody_pb2.HttpBody(data=content[at : at + size]) for at in range(0, len(content), size)]


async def test_a_file_is_sent_in_bounded_messages_behind_its_fields(
    client: SomaClient, edge: Edge, tmp_path: Path
) -> None:
    (tmp_path / "figure.bin").write_bytes(CONTENT)
    edge.answer(UPLOAD, ASSET)
    await client.assets.upload(tmp_path / "figure.bin", media_type="image/png", metadata={"a": [1, {"b": None}]})
    first, *rest = edge.calls[0].messages
    assert (first.filename, first.size_bytes, first.content.content_type) == ("figure.bin", len(CONTENT), "image/png")
    assert json_format.MessageToDict(first.metadata) == {"a": [1, {"b": None}]}
    assert first.request_id
    assert [len(message.content.data) for message in rest] == [262_144, 262_144, 115_712]
    assert received(edge) == CONTENT


async def test_an_upload_that_is_sent_again_is_the_same_request_from_the_beginning(
    client: SomaClient, edge: Edge, tmp_path: Path
) -> None:
    (tmp_path / "figure.bin").write_bytes(CONTENT)
    edge.answer(UPLOAD, Failure(), ASSET, Failure(), ASSET)
    await client.assets.upload(str(tmp_path / "figure.bin"))
    await client.assets.upload(CONTENT)
    ids = [call.message.request_id for call in edge.calls]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert [received(edge, call) for call in range(4)] == [CONTENT] * 4


async def test_an_upload_whose_call_ends_while_it_is_written_is_sent_again(
    client: SomaClient, edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, failures = calls._write, [grpc.StatusCode.INTERNAL]

    async def failing(call: grpc.aio.StreamUnaryCall[Any, Any], messages: AsyncIterator[Any]) -> None:
        if failures:
            raise grpc.aio.AioRpcError(
                failures.pop(), grpc.aio.Metadata(), grpc.aio.Metadata(), details="Internal error from Core"
            )
        await write(call, messages)

    monkeypatch.setattr(calls, "_write", failing)
    edge.answer(UPLOAD, ASSET)
    assert (await client.assets.upload(CONTENT)).asset_id == "a1"
    assert failures == []


async def test_an_iterator_is_sent_once(client: SomaClient, edge: Edge) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield CONTENT
        yield b"end"

    edge.answer(UPLOAD, ASSET, Failure(), ASSET)
    await client.assets.upload(parts())
    assert received(edge) == CONTENT + b"end"
    assert edge.calls[0].message.size_bytes == 0
    with pytest.raises(UnavailableError):
        await client.assets.upload(parts())
    assert len(edge.calls) == 2


async def test_an_iterator_that_fails_ends_the_upload_with_its_own_error(client: SomaClient, edge: Edge) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield CONTENT
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        await client.assets.upload(parts())
    assert edge.calls == []


async def test_what_cannot_be_read_is_not_sent(client: SomaClient, edge: Edge, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        await client.assets.upload(tmp_path / "missing.bin")
    with pytest.raises(TypeError, match="a int cannot be uploaded"):
        await client.assets.upload(7)  # type: ignore[arg-type]
    assert edge.calls == []


async def test_an_upload_that_is_refused_says_why(client: SomaClient, edge: Edge) -> None:
    edge.answer(UPLOAD, Failure("INVALID_ARGUMENT", "larger than 1 MiB", "PAYLOAD_TOO_LARGE"))
    with pytest.raises(InvalidArgumentError, match="larger than 1 MiB") as raised:
        await client.assets.upload(CONTENT)
    assert raised.value.reason == "PAYLOAD_TOO_LARGE"


async def test_a_download_that_breaks_goes_on_behind_what_came(client: SomaClient, edge: Edge, tmp_path: Path) -> None:
    edge.answer(GET, ASSET)
    edge.answer(DOWNLOAD, [*pieces(CONTENT[:300_000]), Failure()], pieces(CONTENT[300_000:500_000]))
    edge.answer(DOWNLOAD, pieces(CONTENT[500_000:]))
    await client.assets.download("a1", tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == CONTENT
    assert [request.read_offset for request in edge.asked(DOWNLOAD)] == [0, 300_000, 500_000]


@pytest.mark.parametrize("end", [Failure("NOT_FOUND"), Failure("DATA_LOSS"), None])
async def test_a_failed_download_leaves_the_folder_as_it_was(
    client: SomaClient, edge: Edge, tmp_path: Path, end: Failure | None
) -> None:
    (tmp_path / "back.bin").write_bytes(b"before")
    edge.answer(GET, ASSET)
    edge.answer(DOWNLOAD, [*pieces(CONTENT[:300_000]), end] if end else pieces(CONTENT[:-1] + b"?"))
    with pytest.raises((NotFoundError, DataLossError)):
        await client.assets.download("a1", tmp_path / "back.bin")
    assert os.listdir(tmp_path) == ["back.bin"]  # noqa: PTH208
    assert (tmp_path / "back.bin").read_bytes() == b"before"


async def test_a_part_of_an_asset_can_be_read(client: SomaClient, edge: Edge) -> None:
    edge.answer(GET, ASSET, ASSET, ASSET)
    edge.answer(DOWNLOAD, [*pieces(CONTENT[10:15]), Failure()], pieces(CONTENT[15:30]), pieces(CONTENT[-5:]))
    assert await client.assets.read("a1", offset=10, limit=20) == CONTENT[10:30]
    assert await client.assets.read("a1", offset=len(CONTENT) - 5) == CONTENT[-5:]
    assert await client.assets.read("a1", offset=len(CONTENT) + 5) == b""
    asked = [(request.read_offset, request.read_limit) for request in edge.asked(DOWNLOAD)]
    assert asked == [(10, 20), (15, 15), (len(CONTENT) - 5, 0)]


async def test_what_the_mesh_finds_at_the_end_of_the_bytes_is_heard(client: SomaClient, edge: Edge) -> None:
    edge.answer(GET, ASSET)
    edge.answer(DOWNLOAD, [*pieces(CONTENT), Failure("DATA_LOSS", "not what was stored", "DATA_LOSS")])
    with pytest.raises(DataLossError, match="not what was stored"):
        await client.assets.read("a1")


async def test_a_stream_that_breaks_behind_the_last_byte_is_complete(client: SomaClient, edge: Edge) -> None:
    edge.answer(GET, ASSET)
    edge.answer(DOWNLOAD, [*pieces(CONTENT[:9]), Failure()])
    assert await client.assets.read("a1", limit=9) == CONTENT[:9]
    assert len(edge.asked(DOWNLOAD)) == 1


async def test_an_empty_asset_is_an_empty_file(client: SomaClient, edge: Edge, tmp_path: Path) -> None:
    edge.answer(GET, asset_pb2.Asset(asset_id="a1", checksum_sha256=hashlib.sha256().hexdigest()))
    await client.assets.download("a1", tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""
