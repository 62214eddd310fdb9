"""What a token says, and the forms it is sent in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SYSTEM_TENANT = "*"
"""The tenant of a service's own work across tenants; good in the token of a service only."""
SERVICE_ROLE = "service"
SHORT_LIVED_S = 900
"""The longest life in seconds of a service's own token, and of one that passes while revoked keys are not known."""
_SERVICES = "spiffe://soma/"


def service_subject(service: str) -> str:
    """The subject of a service's own work."""
    return f"{_SERVICES}{service}"


_API_KEY = re.compile(r"soma_[a-z0-9-]+_(?P<jws>.+)", re.DOTALL)


@dataclass(frozen=True)
class Claims:
    """Whom a token is for. `key_id` is what revokes it: a token made from an API key keeps the key's id.

    `actor` names the service that acts on the subject's behalf. An empty `key_id` gets a new one.
    """

    tenant_id: str
    subject: str
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    key_id: str = ""
    kind: Literal["key", "token"] = "token"
    actor: str = ""


class Actor(BaseModel):
    """The `act` claim (RFC 8693)."""

    model_config = ConfigDict(frozen=True, strict=True)

    sub: str = Field(min_length=1)


class Payload(BaseModel):
    """The claims on the wire. Times are in seconds since 1970."""

    model_config = ConfigDict(frozen=True, strict=True)

    iss: str
    aud: str | tuple[str, ...]
    sub: str = Field(min_length=1)
    jti: str = Field(min_length=1)
    tenant: str = Field(min_length=1)
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    kind: Literal["key", "token"]
    exp: int
    iat: int
    nbf: int | None = None
    act: Actor | None = None

    @property
    def is_own_work(self) -> bool:
        """Whether a service works for itself, across tenants or within one: such tokens come from no API key.

        They live shortly and have no more rights than that work needs: a forged one is of little use for long.
        """
        if self.kind != "token" or self.exp - self.iat > SHORT_LIVED_S:
            return False
        if self.tenant == SYSTEM_TENANT:
            return self.act is None and self.sub.startswith(_SERVICES) and self.roles == (SERVICE_ROLE,)
        own = self.act is not None and self.sub == service_subject(self.act.sub)
        return own and self.roles == ("member",) and bool(self.scopes)


def api_key(environment: str, token: str) -> str:
    """A token in the form of an API key, whose prefix tells people and scanners what it is."""
    if not re.fullmatch(r"[a-z0-9-]+", environment):
        raise ValueError("an environment is named with lower-case letters, digits and hyphens")
    return f"soma_{environment}_{token}"


def bare_token(sent: str) -> str:
    """The JWS within what was sent: itself, or what follows an API key's prefix."""
    match = _API_KEY.fullmatch(sent)
    return match["jws"] if match else sent
