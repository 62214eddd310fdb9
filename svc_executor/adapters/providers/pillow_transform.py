"""Changes pictures with Pillow, which is kept from ones that would burst the memory."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as pillow_version

from svc_executor.adapters.providers.feedback import SHARPER, asks, largest
from svc_executor.adapters.providers.offload import Worker
from svc_executor.adapters.providers.params import Params
from svc_executor.adapters.providers.picture.operations import MAX_SIDE, OPERATIONS
from svc_executor.domain.provider import Artefact, InputArtefact, InvocationResult, ProbeResult, Usage, invalid_input

if TYPE_CHECKING:
    from svc_executor.domain.provider import Invocation, JsonValue, Provider, ProviderContext

_READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_WRITTEN = {"png": ("PNG", "image/png"), "jpeg": ("JPEG", "image/jpeg"), "webp": ("WEBP", "image/webp")}
_MAX_PIXELS = 40_000_000
_MAX_BYTES = 50 * 1024 * 1024
_MAX_OPERATIONS = 20


class PillowTransform:
    """Resizes, crops, turns, captions and converts one picture."""

    provider = "local"

    def __init__(self) -> None:
        self._worker = Worker("image transform")

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Apply `params.operations` in order to the input, and write it as `params.format` (png, jpeg, webp)."""
        return await self._worker.run(invocation.timeout_s, _transform, invocation)

    async def probe(self) -> ProbeResult:
        """Always healthy: the library comes with the service."""
        return ProbeResult(healthy=True)

    async def aclose(self) -> None:
        """Take no more pictures."""
        self._worker.close()


def create(_context: ProviderContext) -> Provider:
    """Build the adapter."""
    return PillowTransform()


def _transform(invocation: Invocation) -> InvocationResult:
    params = Params(invocation.params)
    source = _source(invocation)
    form = params.choice("format", tuple(_WRITTEN), "png")
    quality = params.whole("quality", 90, low=1, high=100)
    image = _open(source)
    applied: list[JsonValue] = []
    for row in params.rows("operations", limit=_MAX_OPERATIONS):
        name = row.choice("op", tuple(OPERATIONS))
        image = OPERATIONS[name](image, row)
        applied.append(name)
    image = _enlarged(image, invocation)
    content = _write(image, form, quality)
    metadata: dict[str, JsonValue] = {"width_px": image.width, "height_px": image.height, "operations": applied}
    stem = source.filename.rsplit(".", 1)[0] or "image"
    return InvocationResult(
        artefacts=(Artefact(content, _WRITTEN[form][1], f"{stem}.{form}", "image", metadata),),
        usage=Usage(images=1),
        model=f"pillow {pillow_version}",
        metadata=metadata,
    )


def _source(invocation: Invocation) -> InputArtefact:
    pictures = [given for given in invocation.inputs.values() if isinstance(given, InputArtefact)]
    if len(pictures) != 1:
        raise invalid_input("/source", f"must name one picture of an earlier step; {len(pictures)} were given")
    if len(pictures[0].content) > _MAX_BYTES:
        raise invalid_input("/source", "is larger than 50 MB")
    return pictures[0]


def _open(source: InputArtefact) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source.content), formats=_READ)
        if image.width * image.height > _MAX_PIXELS:
            raise invalid_input("/source", f"has {image.width} x {image.height} pixels, 40 million are allowed")
        image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise invalid_input("/source", f"{source.filename} is no picture that can be read") from error
    upright = ImageOps.exif_transpose(image)
    return upright.convert("RGBA" if "A" in upright.getbands() or upright.mode == "P" else "RGB")


def _enlarged(image: Image.Image, invocation: Invocation) -> Image.Image:
    """Undo too small a size when the critic asks for more pixels."""
    wanted = largest(invocation.feedback, "min_width_px")
    if not asks(invocation.feedback, SHARPER) or wanted <= image.width:
        return image
    factor = min(wanted / image.width, MAX_SIDE / max(image.size))
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


def _write(image: Image.Image, form: str, quality: int) -> bytes:
    out = io.BytesIO()
    if form == "jpeg" and image.mode != "RGB":
        ground = Image.new("RGB", image.size, "#ffffff")
        ground.paste(image, mask=image.getchannel("A"))
        image = ground
    image.save(out, _WRITTEN[form][0], **({} if form == "png" else {"quality": quality}))
    return out.getvalue()
