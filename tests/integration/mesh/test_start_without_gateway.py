"""A service that is started while no gateway can be reached: which credentials it accepts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from mesh.chassis import SIGNING_KEY
from mesh.clock import SystemClock
from mesh.errors import Reason, SomaError
from mesh.identity import Claims, TokenMinter, api_key, jwks_source
from mesh.identity.key_ids import KeyIds, id_of
from mesh.identity.signed_statements import (
    KEYS_TYPE,
    TYPE,
    KeyIdsFile,
    RevocationsFile,
    StoredRevocations,
    expires_at_s,
    statement_of,
    statement_of_keys,
)
from mesh.ids import SystemIds
from mesh.rpc.client import connect
from mesh.secrets import KeyKind, Vault, VaultTransit
from mesh.settings import IdentitySettings, TlsSettings
from soma.critic.v1.rubric_pb2 import ListRubricsRequest
from soma.critic.v1.rubric_pb2_grpc import RubricServiceStub
from svc_critic.bootstrap import build
from svc_critic.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from mesh.settings import ValkeySettings, VaultSettings
    from tests.conftest import Database

PLAINTEXT = TlsSettings(profile="test")
AWAY = "127.0.0.1:1"
CLOCK = SystemClock()
LIFE = timedelta(days=1)


@pytest.fixture
async def settings(
    database: Database, valkey_settings: ValkeySettings, vault_settings: VaultSettings, tmp_path: Path
) -> Settings:
    async with Vault.open(vault_settings) as vault:
        await VaultTransit(vault, vault_settings.transit_mount).create_key(SIGNING_KEY, KeyKind.SIGNING)
    return Settings(
        tls=PLAINTEXT,
        postgres=await database("critic"),
        valkey=valkey_settings,
        vault=vault_settings,
        identity=IdentitySettings(revocations_dir=tmp_path / "revocations"),
        peers={"gateway": AWAY, "assets": AWAY},
    )


@pytest.fixture
async def minter(settings: Settings) -> AsyncIterator[TokenMinter]:
    async with Vault.open(settings.vault) as vault:
        transit = VaultTransit(vault, settings.vault.transit_mount)
        yield TokenMinter(transit, SIGNING_KEY, issuer="soma", audience="soma", clock=CLOCK, ids=SystemIds())


async def key_of(minter: TokenMinter, key_id: str) -> str:
    claims = Claims("acme", "alice", ("member",), key_id=key_id, kind="key")
    return api_key("test", await minter.mint(claims, LIFE.total_seconds()))


async def heard(settings: Settings, minter: TokenMinter, existing: set[str], revoked_ids: set[str]) -> None:
    """Leave on disk what an earlier process heard a second ago."""
    now = CLOCK.now()
    revoked = dict.fromkeys(revoked_ids, expires_at_s(now + LIFE))
    statement = await minter.sign(statement_of(revoked, int(now.timestamp())), TYPE)
    ids = KeyIds().with_ids(id_of("acme", key_id) for key_id in existing)
    statement_on_keys = await minter.sign(statement_of_keys(ids, int(now.timestamp())), KEYS_TYPE)
    assert settings.identity.revocations_dir is not None
    async with Vault.open(settings.vault) as vault:
        transit = VaultTransit(vault, settings.vault.transit_mount)
        async with jwks_source(settings.identity, transit, SIGNING_KEY, CLOCK) as jwks:
            file = RevocationsFile(settings.identity.revocations_dir / "critic.json", jwks, "soma")
            file.write(StoredRevocations(statement, revoked))
            assert KeyIdsFile(settings.identity.revocations_dir / "critic.keys", jwks, "soma").write(
                statement_on_keys, ids
            )


async def refusals(settings: Settings, *tokens: str) -> list[Reason | None]:
    """Why each of these is refused by the service, None where it is not."""
    found: list[Reason | None] = []
    async with build(settings) as service:
        for token in tokens:

            async def send(token: str = token) -> str:
                return token

            async with connect(service.address, PLAINTEXT, service_config="{}", token=send) as channel:
                try:
                    await RubricServiceStub(channel).ListRubrics(ListRubricsRequest())
                except SomaError as error:
                    found.append(error.reason)
                else:
                    found.append(None)
    return found


async def test_without_a_set_on_disk_keys_are_refused_and_short_lived_tokens_pass(
    settings: Settings, minter: TokenMinter
) -> None:
    token = await minter.mint(Claims("acme", "alice", ("member",), key_id="key-1"), 900)
    assert await refusals(settings, await key_of(minter, "key-1"), token) == [Reason.DEPENDENCY_UNAVAILABLE, None]


async def test_with_the_last_signed_sets_on_disk_existing_keys_that_are_not_revoked_pass(
    settings: Settings, minter: TokenMinter
) -> None:
    await heard(settings, minter, {"key-1", "key-2"}, {"key-2"})
    derived = await minter.mint(Claims("acme", "alice", ("member",), key_id="key-2"), 900)
    keys = [await key_of(minter, "key-1"), await key_of(minter, "key-2")]
    assert await refusals(settings, *keys, derived) == [None, Reason.UNAUTHENTICATED, Reason.UNAUTHENTICATED]


async def test_without_the_existing_keys_on_disk_the_revoked_ones_are_not_enough(
    settings: Settings, minter: TokenMinter
) -> None:
    await heard(settings, minter, {"key-1"}, {"key-2"})
    assert settings.identity.revocations_dir is not None
    await asyncio.to_thread((settings.identity.revocations_dir / "critic.keys").unlink)
    assert await refusals(settings, await key_of(minter, "key-1")) == [Reason.DEPENDENCY_UNAVAILABLE]
