"""What every secret store promises: the one in memory and Vault's API alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mesh.errors import Reason, SomaError
from mesh.secrets import (
    KeyKind,
    MemorySecrets,
    MemoryTransit,
    Secret,
    Secrets,
    Transit,
    Vault,
    VaultSecrets,
    VaultTransit,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mesh.settings import VaultSettings

Stores = tuple[Secrets, Transit]
OUTSIDE = [
    "tenants/mine/../victim/openai", "tenants/..", "..", ".", "tenants/./a", "", "/tenants/a", "tenants/a/", "a//b",
    "tenants/%2e%2e/victim", "a%2fb", "a\\..\\b", "a\x00b", "a\nb", "a?b", "a#b", "a b", ".hidden", "ä",
]  # fmt: skip


@pytest.fixture
def memory_stores() -> Stores:
    return MemorySecrets(), MemoryTransit()


@pytest.fixture
async def vault_stores(vault_settings: VaultSettings) -> AsyncIterator[Stores]:
    async with Vault.open(vault_settings) as vault:
        yield VaultSecrets(vault), VaultTransit(vault)


@pytest.fixture(params=["memory", "vault"])
def stores(request: pytest.FixtureRequest) -> Stores:
    found: Stores = request.getfixturevalue(f"{request.param}_stores")
    return found


@pytest.fixture
def secrets(stores: Stores) -> Secrets:
    return stores[0]


@pytest.fixture
def transit(stores: Stores) -> Transit:
    return stores[1]


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"probe-{request.node.name.partition('[')[0]}"


async def test_reads_what_was_written(secrets: Secrets, name: str) -> None:
    await secrets.write(f"tenants/{name}", {"api_key": "k-1", "other": Secret("k-2")})
    found = await secrets.read(f"tenants/{name}")
    assert {key: value.reveal() for key, value in found.items()} == {"api_key": "k-1", "other": "k-2"}


async def test_a_rewrite_replaces_all_of_a_path_at_once(secrets: Secrets, name: str) -> None:
    await secrets.write(name, {"api_key": "k-1", "old": "x"})
    await secrets.read(name)
    await secrets.write(name, {"api_key": "k-2"})
    assert {key: value.reveal() for key, value in (await secrets.read(name)).items()} == {"api_key": "k-2"}


async def test_an_absent_path_is_not_found(secrets: Secrets) -> None:
    with pytest.raises(SomaError) as caught:
        await secrets.read("tenants/nobody/key")
    assert caught.value.reason is Reason.NOT_FOUND


async def test_a_deleted_path_is_not_found(secrets: Secrets, name: str) -> None:
    await secrets.write(name, {"api_key": "k-1"})
    await secrets.delete(name)
    with pytest.raises(SomaError) as caught:
        await secrets.read(name)
    assert caught.value.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("path", OUTSIDE)
async def test_a_path_that_may_name_another_place_is_refused(secrets: Secrets, path: str) -> None:
    for refused in (secrets.read(path), secrets.write(path, {"api_key": "k"}), secrets.delete(path)):
        with pytest.raises(SomaError) as caught:
            await refused
        assert caught.value.reason is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize("key", OUTSIDE)
async def test_a_key_whose_name_may_mean_another_is_refused(transit: Transit, key: str) -> None:
    for refused in (transit.create_key(key, KeyKind.SIGNING), transit.sign(key, b""), transit.data_key(key)):
        with pytest.raises(SomaError) as caught:
            await refused
        assert caught.value.reason is Reason.INVALID_ARGUMENT


async def test_signatures_verify_with_the_public_key_of_the_newest_version(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.SIGNING)
    signature = await transit.sign(name, b"message")
    [(version, key)] = (await transit.public_keys(name)).items()
    Ed25519PublicKey.from_public_bytes(key).verify(signature, b"message")
    assert version == 1


async def test_a_signature_of_other_data_does_not_verify(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.SIGNING)
    signature = await transit.sign(name, b"message")
    key = Ed25519PublicKey.from_public_bytes((await transit.public_keys(name))[1])
    with pytest.raises(InvalidSignature):
        key.verify(signature, b"another")


async def test_after_rotation_the_newest_version_signs_and_the_older_can_be_named(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.SIGNING)
    await transit.rotate(name)
    keys = {
        version: Ed25519PublicKey.from_public_bytes(raw) for version, raw in (await transit.public_keys(name)).items()
    }
    assert sorted(keys) == [1, 2]
    keys[2].verify(await transit.sign(name, b"message"), b"message")
    keys[1].verify(await transit.sign(name, b"message", version=1), b"message")


async def test_a_version_that_does_not_exist_cannot_sign(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.SIGNING)
    with pytest.raises(SomaError) as caught:
        await transit.sign(name, b"message", version=9)
    assert caught.value.reason is Reason.INVALID_ARGUMENT


async def test_making_a_key_twice_keeps_the_first(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.SIGNING)
    first = await transit.public_keys(name)
    await transit.create_key(name, KeyKind.SIGNING)
    assert await transit.public_keys(name) == first


async def test_a_data_key_unwraps_to_itself_also_after_rotation(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.ENCRYPTION)
    made = await transit.data_key(name)
    await transit.rotate(name)
    assert len(made.plaintext.reveal()) == 32
    assert (await transit.unwrap(name, made.wrapped)) == made.plaintext


async def test_data_keys_differ(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.ENCRYPTION)
    assert (await transit.data_key(name)).plaintext != (await transit.data_key(name)).plaintext


@pytest.mark.parametrize("wrapped", ["", "vault:v1:AAAA", "memory:v1:AAAA", "nonsense"])
async def test_what_the_key_did_not_wrap_is_refused(transit: Transit, name: str, wrapped: str) -> None:
    await transit.create_key(name, KeyKind.ENCRYPTION)
    with pytest.raises(SomaError) as caught:
        await transit.unwrap(name, wrapped)
    assert caught.value.reason is Reason.INVALID_ARGUMENT


async def test_a_destroyed_key_unwraps_nothing_even_when_made_again(transit: Transit, name: str) -> None:
    await transit.create_key(name, KeyKind.ENCRYPTION)
    made = await transit.data_key(name)
    await transit.destroy(name)
    with pytest.raises(SomaError) as caught:
        await transit.unwrap(name, made.wrapped)
    assert caught.value.reason is Reason.NOT_FOUND
    await transit.create_key(name, KeyKind.ENCRYPTION)
    with pytest.raises(SomaError) as caught:
        await transit.unwrap(name, made.wrapped)
    assert caught.value.reason is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize("operation", ["sign", "public_keys", "data_key", "rotate", "destroy", "unwrap"])
async def test_an_absent_key_is_not_found(transit: Transit, operation: str) -> None:
    more = {"sign": (b"x",), "unwrap": ("vault:v1:AAAA",)}.get(operation, ())
    with pytest.raises(SomaError) as caught:
        await getattr(transit, operation)("no-such-key", *more)
    assert caught.value.reason is Reason.NOT_FOUND
