"""Fifty canaries: made-up secrets and personal data that are found again wherever they get to, in whatever wrapping."""

from __future__ import annotations

import base64
import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import yara_x

from mesh.redaction import iban, luhn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Canary:
    """One of them; `secret` ones may be in the tenant's own content alone, the others are personal data."""

    name: str
    text: str
    secret: bool


ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "percent": lambda text: "".join(f"%{byte:02X}" if not chr(byte).isalnum() else chr(byte) for byte in text.encode()),
    "hex": lambda text: text.encode().hex(),
}


def generate_canaries(seed: int) -> list[Canary]:
    """The fifty of a seed."""
    rng = random.Random(seed)
    kinds: Sequence[tuple[str, int, bool, Callable[[random.Random], str]]] = (
        ("provider_key", 6, True, lambda r: f"sk-{word(r, 32)}"),
        ("cloud_key", 5, True, lambda r: f"AKIA{word(r, 16).upper()}"),
        ("forge_token", 5, True, lambda r: f"ghp_{word(r, 36)}"),
        ("vault_token", 4, True, lambda r: f"hvs.{word(r, 28)}"),
        ("signed_token", 4, True, lambda r: f"eyJ{word(r, 17)}.eyJ{word(r, 40)}.{word(r, 43)}"),
        ("private_key", 4, True, private_key),
        ("email", 8, False, lambda r: f"{word(r, 9).lower()}.{word(r, 7).lower()}@{word(r, 8).lower()}.example.com"),
        ("ssn", 4, False, lambda r: f"{r.randint(100, 665)}-{r.randint(10, 99)}-{r.randint(1000, 9999)}"),
        ("card", 4, False, card),
        ("phone", 3, False, lambda r: f"+49 {r.randint(150, 179)} {r.randint(2000000, 9999999)}"),
        ("iban", 3, False, bank_account),
    )
    return [
        Canary(f"{kind}_{number}", make(rng), secret)
        for kind, count, secret, make in kinds
        for number in range(1, count + 1)
    ]


def word(rng: random.Random, length: int) -> str:
    return "".join(rng.choices(ALPHABET, k=length))


def private_key(rng: random.Random) -> str:
    return f"-----BEGIN PRIVATE KEY-----\n{word(rng, 64)}\n{word(rng, 24)}\n-----END PRIVATE KEY-----"


def card(rng: random.Random) -> str:
    """Sixteen digits that pass Luhn."""
    digits = "4" + "".join(rng.choices(string.digits, k=14))
    number = next(digits + check for check in string.digits if luhn(digits + check))
    return " ".join(number[place : place + 4] for place in range(0, 16, 4))


def bank_account(rng: random.Random) -> str:
    """A German IBAN that passes mod 97."""
    account = "".join(rng.choices(string.digits, k=18))
    return next(found for check in range(2, 99) if iban(found := f"DE{check:02d}{account}"))


def needle(canary: Canary) -> str:
    """What of a canary nothing else looks like: of a private key the secret part."""
    return canary.text.split("\n")[1] if canary.name.startswith("private_key") else canary.text


class Scanner:
    """Finds canaries in bytes: plain, base64 at any alignment and in both alphabets, percent, hex, JSON escapes."""

    def __init__(self, canaries: Sequence[Canary]) -> None:
        self._rules = yara_x.compile("\n".join(_rule(canary) for canary in canaries))
        self.bytes_read = 0

    def find(self, content: bytes) -> Iterator[str]:
        """Names of the canaries in the content, each with the wrapping it was found in."""
        self.bytes_read += len(content)
        for rule in self._rules.scan(content).matching_rules:
            found = sorted({pattern.identifier.strip("$") for pattern in rule.patterns if list(pattern.matches)})
            yield f"{rule.identifier} ({', '.join(found)})"


def _rule(canary: Canary) -> str:
    text = needle(canary)
    wrapped = {
        "percent": "".join(f"%{byte:02x}" if not chr(byte).isalnum() else chr(byte) for byte in text.encode()),
        "url": quote(text, safe=""),
        "hex": text.encode().hex(),
        "escaped": "".join(f"\\u{ord(char):04x}" for char in text),
    }
    strings = [
        f"$plain = {_literal(text)} ascii wide nocase",
        f"$base64 = {_literal(text)} base64",
        f'$base64url = {_literal(text)} base64("{ALPHABET_URL}")',
        *(f"${name} = {_literal(value)} nocase" for name, value in wrapped.items()),
    ]
    return f"rule {canary.name} {{ strings: {' '.join(strings)} condition: any of them }}"


ALPHABET_URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
