"""The certificate authority of a local mesh: created at the first start, renews the certificates that it signed."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from soma_local.home import write_private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mesh.clock import Clock

_AUTHORITY_VALIDITY = timedelta(days=3650)
_LEAF_VALIDITY = timedelta(days=90)
_RENEW_BEFORE = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)
EDGE = "edge"
OPERATOR = "operator"


@dataclass(frozen=True)
class KeyPair:
    """Files of a certificate (PEM, leaf alone) and its private key (PKCS 8, 0600)."""

    certificate: Path
    key: Path


class Pki:
    """The certificates in a folder; `ensure` issues those that are missing, expire soon or have another issuer."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    @property
    def authority(self) -> Path:
        """The certificate of the authority, which clients trust."""
        return self._pair("ca").certificate

    def pair(self, name: str) -> KeyPair:
        """Files of the named certificate: `edge`, `operator` or a context."""
        return self._pair(name)

    def ensure(self, contexts: Sequence[str]) -> None:
        """Creates or renews the authority and the certificates of edge, operator and contexts."""
        authority = self._ensure_authority()
        for name in (EDGE, OPERATOR, *contexts):
            if not self._is_valid(name, authority[0]):
                self._issue(name, *authority)

    def _pair(self, name: str) -> KeyPair:
        return KeyPair(self._folder / f"{name}.pem", self._folder / f"{name}-key.pem")

    def _ensure_authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        pair = self._pair("ca")
        if pair.certificate.exists() and pair.key.exists():
            certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
            key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
            if self._is_not_due_for_renewal(certificate) and isinstance(key, ec.EllipticCurvePrivateKey):
                return certificate, key
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SomaMesh local authority")])
        builder = (
            self._builder(name, name, key.public_key(), _AUTHORITY_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
        )
        certificate = builder.sign(key, hashes.SHA256())
        self._write("ca", certificate, key)
        return certificate, key

    def _is_valid(self, name: str, authority: x509.Certificate) -> bool:
        pair = self._pair(name)
        if not (pair.certificate.exists() and pair.key.exists()):
            return False
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        try:
            certificate.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError):
            return False
        return self._is_not_due_for_renewal(certificate)

    def _is_not_due_for_renewal(self, certificate: x509.Certificate) -> bool:
        return certificate.not_valid_after_utc - self._clock.now() > _RENEW_BEFORE

    def _issue(self, name: str, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = authority_key.public_key()
        builder = (
            self._builder(subject, authority.subject, key.public_key(), _LEAF_VALIDITY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_usages(name)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
            .add_extension(_alternative_names(name), critical=False)
        )
        self._write(name, builder.sign(authority_key, hashes.SHA256()), key)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, validity: timedelta
    ) -> x509.CertificateBuilder:
        now = self._clock.now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + validity)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def _write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        pair = self._pair(name)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(pair.key, pem)
        write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _usages(name: str) -> list[x509.ObjectIdentifier]:
    """Returns the extended key usages: the operator is only a client, all others are also servers."""
    client = [ExtendedKeyUsageOID.CLIENT_AUTH]
    return client if name == OPERATOR else [ExtendedKeyUsageOID.SERVER_AUTH, *client]


def _alternative_names(name: str) -> x509.SubjectAlternativeName:
    identity = x509.UniformResourceIdentifier(f"spiffe://soma/{name}")
    if name == OPERATOR:
        return x509.SubjectAlternativeName([identity])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return x509.SubjectAlternativeName([identity, x509.DNSName("localhost"), address])


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
