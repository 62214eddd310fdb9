"""Who is calling, proved by signature: tokens and API keys are EdDSA JWS that anyone can verify and one key signs."""

from __future__ import annotations

from mesh.identity.claims import SERVICE_ROLE, SYSTEM_TENANT, Claims, api_key
from mesh.identity.keys import JwksFile, TransitJwks, jwks_source, key_set
from mesh.identity.minting import Signer, TokenMinter
from mesh.identity.verifying import TokenVerifier

__all__ = [
    "SERVICE_ROLE",
    "SYSTEM_TENANT",
    "Claims",
    "JwksFile",
    "Signer",
    "TokenMinter",
    "TokenVerifier",
    "TransitJwks",
    "api_key",
    "jwks_source",
    "key_set",
]
