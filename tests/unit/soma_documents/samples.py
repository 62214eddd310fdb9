"""A small specification and its inputs, and what composes it."""

from __future__ import annotations

import base64
import copy
import io
import wave
from typing import TYPE_CHECKING

from soma_documents.body import BodyReader
from soma_documents.compose import compose
from soma_documents.errors import ComposeError
from soma_documents.files import InputFile, SvgInspection
from soma_documents.model import read_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soma_documents.document import Document, Section

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAECAIAAAA8r+mnAAAAFElEQVR4nGOU9Z/IgA0wYRUlSwIAYloBBfDkQGkAAAAASUVORK5CYII="
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><path d="M0 0h40v20H0z"/></svg>'
SVG_WITH_TEXT = SVG.replace(b"</svg>", b"<text>Login</text></svg>")
READER = BodyReader()

SMALL: dict[str, object] = {
    "kind": "srs",
    "title": "Door: requirements",
    "version": "1.0",
    "authors": ["Ada", "Grace"],
    "date": "2026-03-16",
    "history": [{"version": "1.0", "date": "2026-03-16", "author": "Ada", "change": "First issue"}],
    "sections": [
        {"id": "purpose", "body": "# Purpose\n\nSays what the *door* must do, see [[req:REQ-1]] and [[sec:scope]]."},
        {
            "id": "scope",
            "body": "One door, drawn in [[fig:plan]].\n\n- opens\n- closes",
            "figures": [{"id": "plan", "asset": "plan", "caption": "The door", "alt": "A rectangle"}],
        },
        {"id": "product_perspective", "body": "Part of a wall [[ref:wall]]."},
        {"id": "product_functions", "body": {"from": "functions"}},
        {
            "id": "user_characteristics",
            "body": "| Who | Need |\n| --- | --- |\n| Guests | `push` to open |",
        },
        {
            "id": "functional",
            "requirements": [
                {
                    "id": "REQ-1",
                    "title": "Opens",
                    "text": "The door shall open within 2 s, see [[fig:sound]].",
                    "priority": "must",
                    "verification": "test",
                    "rationale": "Guests wait otherwise.",
                    "traces_to": ["D-1", "plan"],
                },
                {"id": "REQ-2", "title": "Closes", "text": "It shall close by itself.", "priority": "should"},
            ],
        },
        {"id": "limitations", "figures": [{"id": "sound", "asset": "sound", "caption": "How it sounds"}]},
    ],
    "references": [{"id": "wall", "title": "The wall", "url": "https://example.org/wall"}, "The house"],
    "glossary": [{"term": "Door", "definition": "A wall that *moves*."}],
    "design_elements": [{"id": "D-1", "title": "Hinge"}, {"id": "D-2", "title": "Lock"}],
    "tests": [{"id": "T-1", "title": "Push it", "verifies": ["REQ-1"]}],
    "provenance": {
        "plan": {
            "asset_id": "a-plan",
            "capability_id": "mermaid@local",
            "model": "mermaidx 1",
            "execution_id": "e-1",
            "selection_id": "s-1",
            "license": "MIT",
            "quality_score": 0.9,
            "cost_micro_usd": 300,
            "latency_ms": 120,
        },
        "functions": {"capability_id": "chat@local", "quality_score": 0.7, "cost_micro_usd": 200, "latency_ms": 900},
    },
}


def wav(seconds: float = 1.0) -> bytes:
    """Silence, 8 kHz, one byte a sample."""
    packed = io.BytesIO()
    with wave.open(packed, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(8_000)
        sound.writeframes(b"\x80" * int(8_000 * seconds))
    return packed.getvalue()


def input_file(content: bytes, media_type: str, asset_id: str = "a-1") -> InputFile:
    """An input; an SVG is one that may be shown, of 40 × 20 pixels."""
    svg = SvgInspection(40.0, 20.0) if media_type == "image/svg+xml" else None
    return InputFile(content, media_type, asset_id, svg=svg)


def small() -> dict[str, object]:
    """Parameters that may be changed."""
    return copy.deepcopy(SMALL)


def inputs() -> dict[str, InputFile | str]:
    """Inputs of the small specification."""
    return {
        "plan": input_file(PNG, "image/png", "a-plan"),
        "plan.svg": input_file(SVG, "image/svg+xml", "a-plan-svg"),
        "sound": input_file(wav(0.05), "audio/wav", "a-sound"),
        "functions": "It opens, and it closes.",
    }


def composed(
    params: Mapping[str, object] | None = None, given: Mapping[str, InputFile | str] | None = None
) -> Document:
    """Compose the small specification, or another one."""
    return compose(read_spec(small() if params is None else params), inputs() if given is None else given, READER)  # type: ignore[arg-type]


def simple(**fields: object) -> dict[str, object]:
    """Parameters of a report with one section; `body` and others of the section may be given."""
    section = {"id": "one", "title": "One", **fields}
    return {"title": "A report", "sections": [section]}


def problems(params: Mapping[str, object], given: Mapping[str, InputFile | str] | None = None) -> dict[str, str]:
    """What is wrong with parameters, by JSON pointer."""
    try:
        composed(params, given)
    except ComposeError as error:
        return {problem.pointer: problem.message for problem in error.problems}
    return {}


def section(document: Document, id_: str) -> Section:
    """The section of an id."""
    return next(section for section in document.sections if section.id == id_)
