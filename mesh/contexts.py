"""What each context declares of itself, found through the entry points `soma.contexts`.

A context is a package with a module `context.py` that holds its declaration, and one line in the entry points. All that
the rest of the mesh must know of it follows from the declaration: who may be called, which topics exist, what it may do
in the secret store, which parts of the mesh are checked, which ports are opened.
"""

from __future__ import annotations

import pkgutil
import re
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

GROUP = "soma.contexts"
GATEWAY = "gateway"
"""The context that every other one follows: it tells which API keys exist and which are revoked."""
SETTINGS_BLOCKS = frozenset(
    {
        "blobs", "bus", "identity", "peers", "policy", "postgres", "server", "telemetry", "temporal", "tls", "valkey",
        "vault",
    }
)  # fmt: skip
"""Names of groups of settings: a context of such a name would read the variables of all others as its own."""
ROLES = ("viewer", "member", "admin", "platform_admin")
"""Roles of keys and tokens: each may do what those before it may."""
SERVICE = "service"
"""The role of a service that works for itself. It includes no other, and no other includes it."""
_NAME = re.compile(r"[a-z][a-z0-9]{0,30}")
_ACTION = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*")
_VERSION = re.compile(r"\d+\.\d+\.\d+")


class UnknownContextError(Exception):
    """A context was asked for that is not installed; the text names those that are."""


class InvalidContextError(Exception):
    """A declaration cannot be used; the text says whose and why."""


@dataclass(frozen=True, kw_only=True)
class ContextDeclaration:
    """A context as it declares itself.

    Its schema, database role, certificate and secrets are named like it, and its settings begin with `SA01_<NAME>_`.
    """

    name: str
    """Lower-case letters and digits."""
    version: str
    """Its own version, `major.minor.patch`: it is released by itself."""
    package: str
    """Its Python package; `<package>.bootstrap` has the function `build`."""
    protos: tuple[str, ...]
    """Protobuf packages whose services it serves, for example `soma.critic.v1`."""
    peers: tuple[str, ...] = ()
    """Contexts that it calls, besides the gateway."""
    publishes: tuple[str, ...] = ()
    """Topics of its own facts."""
    consumes: tuple[str, ...] = ()
    """Topics whose events it applies."""
    grants: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Who may perform its own actions: by action the least of `ROLES`, `SERVICE`, or one of each. Others may not."""
    vault: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """What it may do in the secret store besides reading its own secrets and signing as itself: verbs by path."""
    signing_keys: tuple[str, ...] = ()
    """Keys of the transit engine that are made for it (ed25519)."""
    ports: tuple[str, ...] = ()
    """Further ports that it opens, besides that of its gRPC server: `xds` is bound by `SA01_<NAME>_XDS_BIND`."""
    reports: tuple[str, ...] = ()
    """Parts of the mesh that it alone can judge, told as `dependency.<part>` of its health."""
    critical: bool = False
    """Whether nothing works without it."""
    stateless: bool = False
    """Whether it keeps nothing: then it has no schema, no database role and no outbox (`StatelessSettings`)."""

    def __post_init__(self) -> None:
        """Refuse names and versions that no other part could use; InvalidContextError."""
        if not _NAME.fullmatch(self.name):
            raise InvalidContextError(f"context {self.name!r}: a name has lower-case letters and digits, at most 31")
        if self.name in SETTINGS_BLOCKS:
            raise InvalidContextError(f"context {self.name}: this is the name of a group of settings, take another")
        if self.stateless and (self.publishes or self.consumes):
            raise InvalidContextError(f"context {self.name}: events need a database, and it is stateless")
        if not _VERSION.fullmatch(self.version):
            raise InvalidContextError(f"context {self.name}: version {self.version!r} is not major.minor.patch")
        for action, roles in self.grants.items():
            if problem := _problem_of_grant(action, roles):
                raise InvalidContextError(f"context {self.name}: {problem}")

    @property
    def build(self) -> str:
        """Where the function is that builds it, as `package.module:function`."""
        return f"{self.package}.bootstrap:build"

    @property
    def folder(self) -> Path | None:
        """Folder of its package; None when it is not installed as files."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0])

    @property
    def migrations(self) -> Path | None:
        """Folder of its SQL migrations; None when it keeps no state."""
        folder = None if self.folder is None else self.folder / "migrations"
        return folder if folder is not None and folder.is_dir() else None


def installed() -> list[ContextDeclaration]:
    """The installed contexts, ordered by name; InvalidContextError for a declaration that cannot be used."""
    entries = sorted({(entry.name, entry.value) for entry in entry_points(group=GROUP)})
    for (name, place), (other, elsewhere) in pairwise(entries):
        if name == other:
            raise InvalidContextError(f"two entry points {GROUP} are named {name}: {place} and {elsewhere}")
    found = [_declared(name, place) for name, place in entries]
    _check(found)
    return found


def named(names: Sequence[str]) -> list[ContextDeclaration]:
    """The contexts of these names, all of them for none; UnknownContextError."""
    known = {context.name: context for context in installed()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownContextError(f"unknown context {', '.join(unknown)}; installed: {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def owners(contexts: Iterable[ContextDeclaration]) -> dict[str, str]:
    """The name of the context that serves each protobuf package."""
    return {package: context.name for context in contexts for package in context.protos}


def _problem_of_grant(action: str, roles: tuple[str, ...]) -> str:
    """Why a grant cannot be used, "" when it can."""
    if not _ACTION.fullmatch(action):
        return f"action {action!r} is not <noun>.<verb>"
    unknown = [role for role in roles if role not in {*ROLES, SERVICE}]
    if unknown:
        return f"{action} is granted to {roles!r}: roles are {', '.join(ROLES)} and {SERVICE}, as a tuple"
    if not roles:
        return f"{action} is granted to no role: leave it out"
    if len([role for role in roles if role != SERVICE]) > 1 or len(set(roles)) < len(roles):
        return f"{action} is granted to {', '.join(roles)}: name the least role alone, the others include it"
    return ""


def _declared(name: str, place: str) -> ContextDeclaration:
    try:
        found = pkgutil.resolve_name(place)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidContextError(f"entry point {GROUP} {name} = {place} cannot be loaded: {error}") from error
    if not isinstance(found, ContextDeclaration):
        raise InvalidContextError(f"entry point {GROUP} {name} = {place} is no ContextDeclaration")
    if found.name != name:
        raise InvalidContextError(f"entry point {GROUP} {name} = {place} declares the context {found.name!r}")
    return found


def _check(contexts: Sequence[ContextDeclaration]) -> None:
    """That each topic and each protobuf package has one owner."""
    _check_owners("protobuf package", ((context.name, each) for context in contexts for each in context.protos))
    _check_owners("topic", ((context.name, each) for context in contexts for each in context.publishes))


def _check_owners(kind: str, pairs: Iterable[tuple[str, str]]) -> None:
    owners: dict[str, str] = {}
    for name, owned in pairs:
        if owned in owners:
            raise InvalidContextError(f"{kind} {owned} is declared by {owners[owned]} and by {name}")
        owners[owned] = name
