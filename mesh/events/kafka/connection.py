"""How clients reach the brokers, and what their errors mean to callers."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from mesh.errors import Reason, SomaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mesh.settings import BusSettings

METADATA_AGE_MS = 30_000
"""How long a client believes what it knows of the cluster when nothing contradicts it."""


_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


class Options(TypedDict):
    """What every client of aiokafka takes."""

    bootstrap_servers: list[str]
    client_id: str
    security_protocol: str
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: str
    sasl_plain_username: str | None
    sasl_plain_password: str | None
    metadata_max_age_ms: int


def options(settings: BusSettings) -> Options:
    """Give the arguments with which a client connects."""
    with_sasl = settings.security_protocol.startswith("SASL") and settings.sasl_password is not None
    return Options(
        bootstrap_servers=list(settings.bootstrap_servers),
        client_id="somamesh",
        security_protocol=settings.security_protocol,
        ssl_context=_ssl_context(settings) if settings.security_protocol.endswith("SSL") else None,
        sasl_mechanism=settings.sasl_mechanism,
        sasl_plain_username=settings.sasl_username if with_sasl else None,
        sasl_plain_password=settings.sasl_password.get_secret_value() if settings.sasl_password else None,
        metadata_max_age_ms=METADATA_AGE_MS,
    )


def is_too_large(error: BaseException) -> bool:
    """Whether a broker did not take records because of their size."""
    return isinstance(error, _TOO_LARGE)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise records that are too large as PAYLOAD_TOO_LARGE, brokers that do not answer as DEPENDENCY_UNAVAILABLE."""
    try:
        yield
    except _TOO_LARGE as error:
        raise SomaError(
            Reason.PAYLOAD_TOO_LARGE,
            "The event bus does not take records of this size",
            metadata={"component": "kafka"},
        ) from error
    except (KafkaError, OSError) as error:
        raise SomaError(
            Reason.DEPENDENCY_UNAVAILABLE,
            "The event bus does not answer; try again shortly",
            metadata={"component": "kafka"},
            retry_after_s=1.0,
        ) from error


def _ssl_context(settings: BusSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.cert_file is not None:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    return context
