"""Pictures from remote models: the prompt that goes out, and the bytes that come back."""

from __future__ import annotations

import base64
import binascii
import io
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

from soma_providers.media.diagram.parse import parse
from soma_providers.media.diagram.to_words import to_words
from soma_providers.media.feedback import messages
from soma_providers.port import Artefact, Failure, ProviderError

if TYPE_CHECKING:
    from soma_providers.media.params import Params
    from soma_providers.port import Invocation, JsonValue, Usage

_TYPES = {"PNG": ("image/png", "png"), "JPEG": ("image/jpeg", "jpg"), "WEBP": ("image/webp", "webp")}


def prompt_of(invocation: Invocation, params: Params, *, max_chars: int) -> str:
    """Give `prompt`, or a description of `diagram`, with the critic's remarks on the last attempt after it."""
    if not params.has("prompt") and params.has("diagram"):
        prompt = to_words(parse(params.values["diagram"]))[:max_chars]
    else:
        prompt = params.text("prompt", max_chars=max_chars)
    remarks = messages(invocation.feedback)
    return f"{prompt}\n\nImprove on the last version: {remarks}"[:max_chars] if remarks else prompt


def picture(encoded: object, asset_type: str, metadata: dict[str, JsonValue], name: str, usage: Usage) -> Artefact:
    """Decode and identify a picture; raise ProviderError(UNAVAILABLE) with the usage when it is none."""
    try:
        content = base64.b64decode(str(encoded), validate=True)
        with Image.open(io.BytesIO(content), formats=tuple(_TYPES)) as image:
            size, form = image.size, image.format or "PNG"
            image.verify()
    except (binascii.Error, UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ProviderError(Failure.UNAVAILABLE, f"{name} gave a picture that cannot be read", usage=usage) from error
    media_type, ending = _TYPES[form]
    sized: dict[str, JsonValue] = {"width_px": size[0], "height_px": size[1], **metadata}
    return Artefact(content, media_type, f"image.{ending}", asset_type, sized)


def asset_type_of(invocation: Invocation) -> str:
    """Give diagram for a diagram step, else image."""
    return "diagram" if invocation.step_type == "generate_diagram" else "image"
