"""The inputs of documents: outputs of earlier steps as the library of documents takes them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from soma_documents import InputFile, SvgInspection
from soma_providers.media.diagram.svg import inspect
from soma_providers.port import ProviderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_providers.port import InputArtefact

_SVG = "image/svg+xml"
_DOCTYPE = re.compile(r"<!DOCTYPE\s+svg[^\[\]<>]*>")


def input_files(inputs: Mapping[str, InputArtefact | str]) -> dict[str, InputFile | str]:
    """The inputs of a document by name, each SVG inspected; blocks while it reads them."""
    return {name: given if isinstance(given, str) else _input_file(given) for name, given in inputs.items()}


def _input_file(given: InputArtefact) -> InputFile:
    svg = _inspected(given.content) if given.media_type == _SVG else None
    return InputFile(given.content, given.media_type, given.asset_id, given.caption, svg)


def _inspected(content: bytes) -> SvgInspection:
    """What an SVG is like; one may begin with the document type that plotting programs write."""
    try:
        drawing = inspect(_DOCTYPE.sub("", content.decode("utf-8", "replace"), count=1))
    except ProviderError as error:
        return SvgInspection(refusal=error.message)
    return SvgInspection(drawing.width, drawing.height)
