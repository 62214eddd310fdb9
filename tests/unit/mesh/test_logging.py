"""Log lines are JSON, belong to their request, and hold no secret."""

from __future__ import annotations

import io
import json
import logging
from contextvars import copy_context
from typing import TYPE_CHECKING

import pytest
import structlog

from mesh import logging as mesh_logging
from mesh.errors import Reason, SomaError
from mesh.settings import TelemetrySettings
from mesh.testing import acting_as

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Lines = Callable[[], list[dict[str, object]]]


def fail(text: str) -> None:
    raise RuntimeError(text)


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Configures logging, and gives the lines written since."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    stream = io.StringIO()
    mesh_logging.configure(TelemetrySettings(log_level="INFO"), stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = kept
    structlog.reset_defaults()


def test_a_line_is_one_json_object(lines: Lines) -> None:
    mesh_logging.get_logger("svc").info("job started", job_id="j1", steps=3, ratio=0.5, name="Größe")
    (line,) = lines()
    assert line["event"] == "job started"
    assert (line["job_id"], line["steps"], line["ratio"], line["name"]) == ("j1", 3, 0.5, "Größe")
    assert (line["level"], line["logger"]) == ("info", "svc")
    assert "timestamp" in line


def test_a_line_belongs_to_the_request_being_served(lines: Lines) -> None:
    with acting_as():
        mesh_logging.get_logger("svc").info("working")
    (line,) = lines()
    assert (line["tenant_id"], line["request_id"], line["trace_id"]) == ("acme", "test-request", "0" * 31 + "1")


def test_a_line_names_the_context_and_its_version_in_what_a_context_started(lines: Lines) -> None:
    def serve() -> None:
        mesh_logging.enter("critic", "1.2.3")
        mesh_logging.get_logger("svc").info("working")
        mesh_logging.get_logger("svc").info("of another", context="registry")

    copy_context().run(serve)
    mesh_logging.get_logger("svc").info("outside")
    own, other, outside = lines()
    assert (own["context"], own["version"]) == ("critic", "1.2.3")
    assert other["context"] == "registry"
    assert not {"context", "version"} & set(outside)


def test_lines_of_libraries_look_the_same(lines: Lines) -> None:
    logging.getLogger("library").warning("took %s", "long", extra={"seconds": 3})
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"], line["seconds"]) == ("took long", "warning", "library", 3)


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    mesh_logging.get_logger("svc").debug("detail")
    assert lines() == []


def test_an_exception_is_written_with_its_traceback_in_the_same_line(lines: Lines) -> None:
    try:
        fail("broken")
    except RuntimeError:
        mesh_logging.get_logger("svc").exception("failed")
    (line,) = lines()
    assert "RuntimeError: broken" in str(line["exception"])


SECRETS = "password db_password token access_token api_key x-api-key Authorization cookie client_secret private_key"


@pytest.mark.parametrize("key", [*SECRETS.split(), "postgres_dsn", "logprobs", "top_logprobs"])
def test_fields_named_like_secrets_are_taken_out(lines: Lines, key: str) -> None:
    mesh_logging.get_logger("svc").info("said", **{key: "canary"}, nested={"deep": [{key: "canary"}]})
    assert "canary" not in json.dumps(lines())


@pytest.mark.parametrize(
    "text",
    [
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnkifQ.canarycanarycanary",
        "soma_dev_eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJjYW5hcnkifQ.canarycanarycanary",
        "sk-canarycanarycanary123",
        "hvs.canarycanarycanary123",
        "Bearer canarycanary",
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        "postgresql://user:canary@db:5432/soma",
        "redis://:canary@cache:6379",
    ],
)
def test_texts_that_look_like_secrets_are_taken_out_wherever_they_are(lines: Lines, text: str) -> None:
    log = mesh_logging.get_logger("svc")
    log.info(f"saw {text}", value=text, many=[text], nested={"deep": text})  # noqa: G004
    try:
        fail(text)
    except RuntimeError:
        log.exception("failed")
    logging.getLogger("library").error(text)
    written = json.dumps(lines())
    assert "canary" not in written
    assert "eyJzdWIi" not in written


def test_ordinary_numbers_and_words_stay(lines: Lines) -> None:
    mesh_logging.get_logger("svc").info("done", prompt_tokens=118, monkey="yes", url="https://docs.example/a:b@c")
    (line,) = lines()
    assert (line["prompt_tokens"], line["monkey"]) == (118, "yes")


def test_people_may_read_lines_that_are_not_json() -> None:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        mesh_logging.configure(TelemetrySettings(log_format="console"), stream)
        mesh_logging.get_logger("svc").info("hello", token="canary")
    finally:
        root.handlers[:], root.level = kept
        structlog.reset_defaults()
    assert "hello" in stream.getvalue()
    assert "canary" not in stream.getvalue()


def test_only_what_does_not_pass_is_told_with_its_traceback() -> None:
    outage, broken = SomaError(Reason.DEPENDENCY_UNAVAILABLE, "it is away"), RuntimeError("broken")
    assert mesh_logging.exc_info_if_unexpected(outage) is None
    assert mesh_logging.exc_info_if_unexpected(SomaError(Reason.INTERNAL, "a defect")) is not None
    assert mesh_logging.exc_info_if_unexpected(broken) is broken
