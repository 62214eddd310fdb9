"""Verifies an exported audit chain without the mesh: `python examples/verify_audit.py export.ndjson [public-key]`.

Needs Python 3.11 and `cryptography`. docs/audit.md tells what is computed. The export names the public key that it was
anchored with; give the key as you know it from the secret store to be sure that it is the mesh's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Line = dict[str, Any]
"""A line of an export."""


def main(argv: list[str]) -> int:
    """Say what is wrong, line by line; 0 when nothing is, 1 when something is, 2 when it could not be told."""
    if len(argv) not in {2, 3}:
        print(__doc__)
        return 2
    known_key = argv[2] if len(argv) > 2 else ""  # noqa: PLR2004 - the second argument
    previous: Line | None = None
    digests: dict[int, str] = {}
    wrong: list[str] = []
    last: Line = {}
    with Path(argv[1]).open(encoding="utf-8") as lines:
        for text in lines:
            last = json.loads(text)
            if "entry" not in last:
                break
            wrong += check_entry(last, previous)
            digests[last["entry"]["sequence"]] = last["digest"]
            previous = last
    if "anchor" in last:
        problem = check_anchor(last, digests, known_key, wrong)
        wrong += check_end(last["anchor"], previous)
    else:
        problem = "the export is cut: it has no end"
        wrong.append(problem)
    for fault in wrong:
        print(fault)
    print(f"{len(digests)} entries, {'intact' if not wrong else f'{len(wrong)} faults'}; {problem}")
    return 1 if wrong else 0


def canonical(members: dict[str, object]) -> bytes:
    """RFC 8785: names sorted, no spaces, UTF-8."""
    return json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def check_entry(line: Line, previous: Line | None) -> list[str]:
    """What is wrong with one entry, by itself and behind the one before."""
    entry, wrong = line["entry"], []
    place = entry["sequence"]
    if hashlib.sha256(bytes.fromhex(line["previous_digest"]) + canonical(entry)).hexdigest() != line["digest"]:
        wrong.append(f"{place}: the content does not fit the digest")
    if place == 1 and line["previous_digest"] != "0" * 64:
        wrong.append("1: the first entry does not follow 64 zeros")
    if previous is not None:
        if place != previous["entry"]["sequence"] + 1:
            wrong.append(f"{place}: does not come next behind {previous['entry']['sequence']}")
        elif line["previous_digest"] != previous["digest"]:
            wrong.append(f"{place}: does not follow the entry before")
        if entry["chain"] != previous["entry"]["chain"]:
            wrong.append(f"{place}: belongs to another chain")
    return wrong


def check_anchor(line: Line, digests: dict[int, str], known_key: str, wrong: list[str]) -> str:
    """Adds what is wrong with the anchor; gives what the anchor covers."""
    anchor = line["anchor"]
    if anchor is None:
        return "no anchor was made yet"
    place = anchor["sequence"]
    if known_key and known_key != line["public_key"]:
        wrong.append("the anchor's public key is not the one you know")
    if anchor["statement"] != "soma.audit.anchor.v1":
        wrong.append("the last line holds no anchor")
    key = Ed25519PublicKey.from_public_bytes(base64url(line["public_key"]))
    try:
        key.verify(base64url(line["signature"]), canonical(anchor))
    except InvalidSignature:
        wrong.append(f"{place}: the anchor's signature is forged")
    if place not in digests:
        return f"the anchor of entry {place} is of none in this export"
    if digests[place] != anchor["digest"]:
        wrong.append(f"{place}: the anchor says another digest")
    return f"anchored up to entry {place} at {anchor['create_time']} by {line['public_key']}"


def check_end(anchor: Line | None, newest: Line | None) -> list[str]:
    """What is wrong between the anchor and the last entry. An anchor before the first entry is harmless."""
    if anchor is None:
        return []
    place = anchor["sequence"]
    if newest is None:
        return [f"the end was cut off: the anchor is of entry {place}, and there is no entry"]
    entry, wrong = newest["entry"], []
    if place > entry["sequence"]:
        wrong.append(f"the end was cut off: the anchor is of entry {place}, the last entry is {entry['sequence']}")
    if anchor["chain"] != entry["chain"]:
        wrong.append(f"{place}: the anchor is of another chain")
    return wrong


def base64url(text: str) -> bytes:
    """Bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
