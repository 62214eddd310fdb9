"""Structured logs: one JSON object a line, bound to the request and its trace, secrets and personal data taken out."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, cast

import structlog
from opentelemetry import trace

from mesh import context
from mesh.errors import is_transient
from mesh.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    from mesh.settings import TelemetrySettings

REDACTED = "[redacted]"

_serving: ContextVar[tuple[str, str] | None] = ContextVar("soma_serving", default=None)
_SECRET_KEY = re.compile(
    r"token$|secret|passw|authorization|api[_-]?key|cookie|credential|private[_-]?key|dsn$|logprob", re.IGNORECASE
)
_OURS = frozenset({"timestamp", "level", "logger", "trace_id", "tenant_id", "version"})
# The lookahead lets a run of characters be searched only where a dot follows: none is looked at more than twice.
_SECRET_TEXT = re.compile(
    r"""
      (?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]*+\.)[A-Za-z0-9_-]*?     # what a JWS may be prefixed with
      eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*\.?[A-Za-z0-9_-]*      # a JWS, also the part of one
    | \b(?:sk|pk|rk|hvs|hvb|ghp|xoxb)[-_.][A-Za-z0-9_-]{16,}      # keys of providers and of the secret store
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)                             # user and password of a URL
    | (?i:\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}
    | -----BEGIN[^-]*PRIVATE\ KEY-----.*?(?:-----END[^-]*-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


def configure(settings: TelemetrySettings, stream: TextIO | None = None) -> None:
    """Send every log line of the process, also those of libraries, to `stream` (standard error)."""
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        bind_request,
    ]
    foreign: list[Processor] = [structlog.stdlib.ExtraAdder(), *shared]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=foreign, processors=_rendering(settings.log_format))
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for chatty in ("httpx", "httpcore", "aiokafka"):  # a line for every request, and the tracing has it
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("aiokafka.conn").setLevel(logging.ERROR)  # it warns of each plaintext connection
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def enter(name: str, version: str) -> None:
    """Name a context and its version in every line of the running task, and of what it starts, from now on."""
    _serving.set((name, version))


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose calls take an event name and fields: `log.info("job started", job_id=job.id)`."""
    return cast("FilteringBoundLogger", structlog.stdlib.get_logger(name))


def exc_info_if_unexpected(error: BaseException) -> BaseException | None:
    """For `exc_info`: the error, unless it may pass, as an outage does at each of many tries; its text says it all."""
    return None if is_transient(error) else error


def bind_request(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the context, and who and which trace the line belongs to, unless the line says so itself."""
    serving = _serving.get()
    if serving is not None:
        event.setdefault("context", serving[0])
        event.setdefault("version", serving[1])
    request = context.current()
    if request is not None:
        event.setdefault("trace_id", request.trace_id)
        event.setdefault("request_id", request.request_id)
        if request.caller is not None:
            event.setdefault("tenant_id", request.caller.tenant_id)
    elif (span := trace.get_current_span().get_span_context()).is_valid:
        event.setdefault("trace_id", trace.format_trace_id(span.trace_id))
    return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out of a line fields that are named like a secret, and texts that look like one or like personal data."""
    redactor = _LineRedactor()
    return {key: _redacted(redactor, key, value) for key, value in event.items()}


class _LineRedactor(Redactor):
    """Redacts the texts of one line."""

    def scan(self, value: str) -> str:
        """The text without what looks like a secret or like personal data."""
        return super().scan(_SECRET_TEXT.sub(REDACTED, value))


def _redacted(redactor: Redactor, key: str, value: object) -> object:
    if _SECRET_KEY.search(key) and value not in (None, "", 0):
        return REDACTED
    if isinstance(value, str):
        return value if key in _OURS else redactor.text(value)
    if isinstance(value, dict):
        inner = cast("Mapping[object, object]", value)
        return {str(name): _redacted(redactor, str(name), item) for name, item in inner.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redacted(redactor, "", item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return redactor.text(str(value))


def _rendering(log_format: str) -> list[Processor]:
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
        renderer,
    ]
