"""The scan for canaries finds what it should: else its silence would say nothing."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from mesh import logging as mesh_logging
from mesh import redaction
from mesh.settings import TelemetrySettings
from tests.chaos.contexts.canaries.generated import ENCODINGS, Scanner, generate_canaries

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20261124
CANARIES = generate_canaries(SEED)
EVERY = {canary.name for canary in CANARIES}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Where the log lines of the process go."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    stream = io.StringIO()
    mesh_logging.configure(TelemetrySettings(log_level="INFO"), stream)
    yield stream
    root.handlers[:], root.level = kept
    structlog.reset_defaults()


def found(content: bytes) -> set[str]:
    return {name.partition(" ")[0] for name in Scanner(CANARIES).find(content)}


def test_there_are_fifty_and_they_differ() -> None:
    assert len(CANARIES) == len(EVERY) == len({canary.text for canary in CANARIES}) == 50


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("wrapping", ["raw", "json", "log line", "protobuf", "wide"])
def test_every_canary_is_found_in_every_encoding_and_place(encoding: str, wrapping: str) -> None:
    texts = [ENCODINGS[encoding](canary.text) for canary in CANARIES]
    content = {
        "raw": "\n".join(texts).encode(),
        "json": json.dumps(texts).encode(),
        "log line": json.dumps({"event": f"failed: {json.dumps(texts)}"}).encode(),
        "protobuf": b"\x0a\x10" + "\x12\x05".join(texts).encode() + b"\x00",
        "wide": "\n".join(texts).encode("utf-16-le") if encoding == "plain" else "\n".join(texts).encode(),
    }[wrapping]
    assert found(content) == EVERY


def test_a_canary_inside_of_something_that_is_encoded_is_found_at_any_place() -> None:
    for shift in range(3):
        content = ENCODINGS["base64"]("x" * shift + f"{CANARIES[0].text} and {CANARIES[-1].text}").encode()
        assert found(content) == {CANARIES[0].name, CANARIES[-1].name}


def test_nothing_is_found_where_nothing_is() -> None:
    others = "\n".join(canary.text for canary in generate_canaries(SEED + 1)).encode()
    assert found(others) == set()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_redaction_takes_out_every_canary_in_every_encoding(encoding: str) -> None:
    text = "\n".join(f"ask: {ENCODINGS[encoding](canary.text)}; then go on" for canary in CANARIES)
    assert found(redaction.Redactor().text(text).encode()) == set()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_log_line_holds_a_canary(log: io.StringIO, encoding: str) -> None:
    tell(encoding)
    assert found(log.getvalue().encode()) == set()


def test_planted_without_redaction_the_log_is_full_of_them(log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh_logging._LineRedactor, "text", lambda _, text: text)
    tell("plain")
    assert found(log.getvalue().encode()) == EVERY


def refuse(text: str) -> None:
    raise ValueError(text)


def tell(encoding: str) -> None:
    """Logs every canary in all the ways that a line may hold it."""
    for canary in CANARIES:
        text = ENCODINGS[encoding](canary.text)
        mesh_logging.get_logger("svc").info("refused", detail=text, given={"params": [text]})
        logging.getLogger("library").warning("cannot serve %s", text)
        try:
            refuse(text)
        except ValueError:
            logging.getLogger("library").exception("failed")
