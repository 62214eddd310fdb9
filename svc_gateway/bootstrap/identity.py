"""The wiring of keys, tokens, tenants and permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mesh.lifecycle import background
from mesh.rpc.key_streams import KeyStreams
from svc_gateway.adapters.key_file import LocalKeyFile
from svc_gateway.adapters.postgres.bootstrap_key_lock import bootstrap_key_lock
from svc_gateway.adapters.postgres.keys import PostgresKeyStore
from svc_gateway.adapters.postgres.tenants import PostgresTenantStore
from svc_gateway.app.bootstrap_key import ensure_bootstrap_key
from svc_gateway.app.existing_key_feed import ExistingKeyFeed
from svc_gateway.app.key_set_signer import KeySetSigner
from svc_gateway.app.keys import ApiKeyUseCases, Tokens
from svc_gateway.app.permissions import Permissions
from svc_gateway.app.revoked_key_feed import RevokedKeyFeed, expires_at_by_key_id
from svc_gateway.app.tenants import Tenants
from svc_gateway.rpc.key_watches import watch_existing_keys, watch_revocations

if TYPE_CHECKING:
    from mesh.chassis import Chassis
    from svc_gateway.settings import Settings


@dataclass(frozen=True)
class IdentityUseCases:
    """The use cases on keys and tenants, and the feeds of keys."""

    keys: ApiKeyUseCases
    tokens: Tokens
    tenants: Tenants
    permissions: Permissions
    revoked: RevokedKeyFeed
    existing: ExistingKeyFeed
    signer: KeySetSigner


async def identity_use_cases(chassis: Chassis, settings: Settings) -> IdentityUseCases:
    """Starts the feeds of keys, waits for them, and ensures the first key."""
    key_store = PostgresKeyStore(chassis.postgres, chassis.auditor, settings.gateway.tenant_api_keys)
    tenant_store = PostgresTenantStore(chassis.postgres, chassis.auditor)
    permissions = Permissions(tenant_store, key_store, settings.tls.profile)
    keys = ApiKeyUseCases(
        key_store, permissions, chassis.minter, settings.gateway.environment, clock=chassis.clock, ids=chassis.ids
    )
    tenants = Tenants(tenant_store, chassis.clock)
    revoked, existing = RevokedKeyFeed(key_store, chassis.clock), ExistingKeyFeed(key_store, chassis.clock)
    revoked.on_change(lambda added: chassis.revoked.add(expires_at_by_key_id(added)))
    await chassis.enter(revoked.running())
    await chassis.enter(existing.running())
    audits = await chassis.audit_queue()
    signer = KeySetSigner(chassis.minter, chassis.clock)
    await chassis.enter(background(lambda: signer.sign_revoked(revoked), "revocations-signed", clock=chassis.clock))
    await chassis.enter(background(signer.sign_existing, "api-keys-signed", clock=chassis.clock))
    # This process verifies keys by the same streams that it serves to the others.
    streams = KeyStreams(
        revoked=lambda digests: watch_revocations(revoked, digests),
        existing=lambda digests: watch_existing_keys(existing, signer, digests),
    )
    await chassis.follow_keys(streams)
    await chassis.wait_for_keys()
    await _ensure_bootstrap_key(chassis, settings, keys, tenants)
    tokens = Tokens(key_store, chassis.minter, audits.add, chassis.clock)
    return IdentityUseCases(keys, tokens, tenants, permissions, revoked, existing, signer)


async def _ensure_bootstrap_key(chassis: Chassis, settings: Settings, keys: ApiKeyUseCases, tenants: Tenants) -> None:
    own = settings.gateway
    if own.bootstrap_key_file is not None:
        await ensure_bootstrap_key(
            own.bootstrap_tenant,
            own.bootstrap_plan,
            LocalKeyFile(own.bootstrap_key_file),
            lock=bootstrap_key_lock(chassis.postgres),
            keys=keys,
            tenants=tenants,
            verify=chassis.verifier.authenticate,
        )
