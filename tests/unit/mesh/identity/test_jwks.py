"""The keys that tokens are verified with, from a file or from the secret store."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from mesh.identity import JwksFile, jwks_source
from mesh.settings import IdentitySettings, SettingsError
from mesh.testing import FakeClock, Issuer
from mesh.testing.tokens import KEY

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def issuer(clock: FakeClock) -> Issuer:
    return await Issuer.create(clock)


async def test_the_public_keys_on_disk_are_read_again_when_they_change(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.keys().as_dict()))
    source = JwksFile(file)
    assert len(list(source())) == 1
    await issuer.transit.rotate(KEY)
    await issuer.keys.refresh()
    file.write_text(json.dumps(issuer.keys().as_dict()))
    os.utime(file, ns=(1, 1))
    assert len(list(source())) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": 1}', None])
async def test_the_last_keys_stay_in_use_while_the_file_is_replaced(
    issuer: Issuer, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "jwks.json"
    whole = json.dumps(issuer.keys().as_dict())
    file.write_text(whole)
    source = JwksFile(file)
    known = [key.kid for key in source()]
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
        os.utime(file, ns=(1, 1))
    assert [key.kid for key in source()] == known
    await issuer.transit.rotate(KEY)
    await issuer.keys.refresh()
    file.write_text(json.dumps(issuer.keys().as_dict()))
    assert len(list(source())) == 2


def test_keys_that_could_never_be_read_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    with pytest.raises(OSError, match="No such file"):
        JwksFile(file)()
    file.write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        JwksFile(file)()


async def test_keys_come_from_the_file_or_else_from_the_secret_store(
    issuer: Issuer, clock: FakeClock, tmp_path: Path
) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(issuer.keys().as_dict()))
    async with jwks_source(IdentitySettings(jwks_file=file), None, KEY, clock) as from_file:
        assert len(list(from_file())) == 1
    async with jwks_source(IdentitySettings(), issuer.transit, KEY, clock) as from_store:
        assert len(list(from_store())) == 1
        await issuer.transit.rotate(KEY)
        await clock.sleeper()
        await clock.advance(20)
        assert len(list(from_store())) == 2
    with pytest.raises(SettingsError, match="SA01_IDENTITY_JWKS_FILE"):
        async with jwks_source(IdentitySettings(), None, KEY, clock):
            pass
