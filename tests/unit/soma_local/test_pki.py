"""The mesh's own certificates."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from soma_local.pki import Pki

if TYPE_CHECKING:
    from pathlib import Path

    from soma_local.home import Home


class _Calendar:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def calendar() -> _Calendar:
    return _Calendar()


@pytest.fixture
def pki(home: Home, calendar: _Calendar) -> Pki:
    made = Pki(home.pki, calendar)
    made.ensure(["gateway", "registry"])
    return made


def _read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.mark.parametrize("name", ["gateway", "registry", "edge", "operator"])
def test_a_certificate_names_its_holder_by_spiffe_id(pki: Pki, name: str) -> None:
    names = _names(_read(pki.pair(name).certificate))
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://soma/{name}"]


@pytest.mark.parametrize("name", ["gateway", "edge"])
def test_a_server_is_reached_by_localhost_and_loopback_address(pki: Pki, name: str) -> None:
    names = _names(_read(pki.pair(name).certificate))
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_the_operator_may_only_call(pki: Pki) -> None:
    usage = _read(pki.pair("operator").certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(usage.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize("name", ["gateway", "registry", "edge", "operator"])
def test_every_certificate_is_signed_by_the_authority(pki: Pki, name: str) -> None:
    _read(pki.pair(name).certificate).verify_directly_issued_by(_read(pki.authority))


def test_keys_are_readable_by_their_owner_alone(pki: Pki, home: Home) -> None:
    modes = {stat.S_IMODE(file.stat().st_mode) for file in home.pki.glob("*-key.pem")}
    assert modes == {0o600}


def test_a_certificate_with_more_than_30_days_is_kept(pki: Pki, calendar: _Calendar) -> None:
    before = pki.pair("gateway").certificate.read_bytes()
    calendar.at += timedelta(days=59)
    pki.ensure(["gateway"])
    assert pki.pair("gateway").certificate.read_bytes() == before


def test_a_certificate_in_its_last_30_days_is_renewed(pki: Pki, calendar: _Calendar) -> None:
    authority = pki.authority.read_bytes()
    calendar.at += timedelta(days=61)
    pki.ensure(["gateway"])
    renewed = _read(pki.pair("gateway").certificate)
    assert renewed.not_valid_after_utc - calendar.at > timedelta(days=89)
    assert pki.authority.read_bytes() == authority


def test_a_new_authority_signs_everything_again(pki: Pki) -> None:
    pki.authority.unlink()
    pki.ensure(["gateway", "registry"])
    for name in ("gateway", "registry", "edge", "operator"):
        _read(pki.pair(name).certificate).verify_directly_issued_by(_read(pki.authority))
