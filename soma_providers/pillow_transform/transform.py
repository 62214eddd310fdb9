"""Changes one picture with Pillow, which is kept from ones that would burst the memory; for child processes."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as pillow_version

from soma_providers.media.feedback import SHARPER, has_code, max_hint
from soma_providers.media.params import Params
from soma_providers.pillow_transform.operations import MAX_SIDE, OPERATIONS
from soma_providers.port import Artefact, InvocationResult, Usage, invalid_input

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soma_providers.port import Feedback, InputArtefact, JsonValue

_READ = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
_WRITTEN = {"png": ("PNG", "image/png"), "jpeg": ("JPEG", "image/jpeg"), "webp": ("WEBP", "image/webp")}
_MAX_PIXELS = 40_000_000
_MAX_OPERATIONS = 20


def transform(values: Mapping[str, JsonValue], source: InputArtefact, feedback: Sequence[Feedback]) -> InvocationResult:
    """Apply `operations` in order and write the picture as `format`; raise ProviderError(INVALID_INPUT)."""
    params = Params(values)
    form = params.choice("format", tuple(_WRITTEN), "png")
    quality = params.integer("quality", 90, low=1, high=100)
    image = _open(source)
    applied: list[JsonValue] = []
    for row in params.objects("operations", limit=_MAX_OPERATIONS):
        name = row.choice("op", tuple(OPERATIONS))
        image = OPERATIONS[name](image, row)
        applied.append(name)
    image = _enlarged(image, feedback)
    content = _write(image, form, quality)
    metadata: dict[str, JsonValue] = {"width_px": image.width, "height_px": image.height, "operations": applied}
    stem = source.filename.rsplit(".", 1)[0] or "image"
    return InvocationResult(
        artefacts=(Artefact(content, _WRITTEN[form][1], f"{stem}.{form}", "image", metadata),),
        usage=Usage(images=1),
        model=f"pillow {pillow_version}",
        metadata=metadata,
    )


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


def _enlarged(image: Image.Image, feedback: Sequence[Feedback]) -> Image.Image:
    """Undo too small a size when the critic asks for more pixels."""
    wanted = max_hint(feedback, "min_width_px")
    if not has_code(feedback, SHARPER) or wanted <= image.width:
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
