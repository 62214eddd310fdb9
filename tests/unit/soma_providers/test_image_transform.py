"""Image transforms: each operation, and pictures that would do harm."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from soma_providers.pillow_transform import adapter as pillow_transform
from soma_providers.port import InputArtefact
from tests.conformance import harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from soma_providers.port import JsonValue, Provider


@pytest.fixture
async def transform() -> AsyncIterator[Provider]:
    async with harness.context() as context:
        provider = pillow_transform.create(context)
        yield provider
        await provider.aclose()


def picture(width: int = 400, height: int = 200, form: str = "PNG") -> InputArtefact:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "#336699").save(out, form)
    return InputArtefact("asset-1", f"image/{form.lower()}", "drawing.png", out.getvalue())


async def applied(transform: Provider, *operations: dict[str, JsonValue], **params: JsonValue) -> Image.Image:
    call = harness.invocation({"operations": operations, **params}, inputs={"a": picture()})
    return harness.opened(await transform.invoke(call))


@pytest.mark.parametrize(
    ("operation", "size"),
    [
        ({"op": "resize", "width": 100}, (100, 50)),
        ({"op": "resize", "height": 100}, (200, 100)),
        ({"op": "resize", "width": 100, "height": 100}, (100, 50)),
        ({"op": "resize", "width": 100, "height": 100, "fit": "cover"}, (100, 100)),
        ({"op": "resize", "width": 90, "height": 100, "fit": "stretch"}, (90, 100)),
        ({"op": "crop", "left": 10, "top": 20, "width": 30, "height": 40}, (30, 40)),
        ({"op": "thumbnail", "max_px": 64}, (64, 32)),
        ({"op": "rotate", "degrees": 90}, (200, 400)),
    ],
)
async def test_an_operation_gives_its_size(
    transform: Provider, operation: dict[str, JsonValue], size: tuple[int, int]
) -> None:
    assert (await applied(transform, operation)).size == size


async def test_a_caption_is_written_below_the_picture(transform: Provider) -> None:
    image = await applied(transform, {"op": "annotate", "text": "Figure 1"})
    assert image.width == 400
    assert image.height > 200
    assert image.convert("RGB").getpixel((200, 100)) == (0x33, 0x66, 0x99)


async def test_operations_run_in_order(transform: Provider) -> None:
    image = await applied(transform, {"op": "rotate", "degrees": 90}, {"op": "crop", "width": 200, "height": 10})
    assert image.size == (200, 10)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_it_converts(transform: Provider, form: str) -> None:
    assert (await applied(transform, format=form)).format == form.upper()


async def test_transparency_becomes_white_in_jpeg(transform: Provider) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(out, "PNG")
    source = InputArtefact("asset-1", "image/png", "clear.png", out.getvalue())
    result = await transform.invoke(harness.invocation({"format": "jpeg"}, inputs={"a": source}))
    assert harness.opened(result).getpixel((4, 4)) == (255, 255, 255)


async def test_rework_makes_a_small_picture_as_wide_as_asked(transform: Provider) -> None:
    remark = harness.feedback("RESOLUTION_TOO_LOW", min_width_px=1000)
    call = harness.invocation({"operations": [{"op": "thumbnail"}]}, inputs={"a": picture()}, feedback=remark)
    assert harness.opened(await transform.invoke(call)).width == 1000


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 900 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("content", [bomb(), b"", b"<svg/>", picture().content[:200]])
async def test_what_is_no_readable_picture_is_refused(transform: Provider, content: bytes) -> None:
    source = InputArtefact("asset-1", "image/png", "x.png", content)
    assert await harness.pointer_of_refusal(transform, {}, inputs={"a": source}) == "/source"


async def test_it_wants_one_picture(transform: Provider) -> None:
    assert await harness.pointer_of_refusal(transform, {}) == "/source"
    assert await harness.pointer_of_refusal(transform, {}, inputs={"a": picture(), "b": picture()}) == "/source"


@pytest.mark.parametrize(
    ("operation", "pointer"),
    [
        ({"op": "blur"}, "/operations/0/op"),
        ({"op": "resize"}, "/operations/0/width"),
        ({"op": "resize", "width": 9000}, "/operations/0/width"),
        ({"op": "crop", "left": 400}, "/operations/0/left"),
        ({"op": "rotate", "degrees": 45}, "/operations/0/degrees"),
        ({"op": "annotate", "text": "x", "color": "octarine"}, "/operations/0/color"),
    ],
)
async def test_a_fault_is_named_by_its_pointer(
    transform: Provider, operation: dict[str, JsonValue], pointer: str
) -> None:
    params = {"operations": [operation]}
    assert await harness.pointer_of_refusal(transform, params, inputs={"a": picture()}) == pointer
