"""Redacts texts that are made to take long, each within a bound of CPU time; run in a process of its own.

The bound is over ten times what a linear scan takes, and a tenth of what a quadratic one does.
"""

from __future__ import annotations

import resource
import sys
from base64 import b64encode

from mesh.logging import redact
from mesh.redaction import Redactor
from svc_provenance.domain.record_redaction import RecordRedactor

CHARS = 1 << 18
CPU_S = 10
_WORDS = "The quick brown fox, jumps over 42 lazy dogs. "
MARKS = " @ + - eyJ -----BEGIN "
"""Without these some patterns are not looked for."""
SHAPES = {
    "letters": "a",
    "digits": "1",
    "hyphens": "-",
    "spaces": " ",
    "prose": _WORDS,
    "spaced digits": "1 ",
    "addresses without a domain": "a@",
    "addresses without a top-level domain": "a@b.",
    "begins of keys": "-----BEGIN ",
    "begins of long keys": "-----BEGIN " + "A" * 60,
    "ends of keys": "-----BEGIN PRIVATE KEY-----\n-----END ",
    "begins of tokens": "eyJaaaaaaaa",
    "begins of tokens after letters": "éeyJaaaaaaaa",
    "two parts of tokens": "eyJaaaaaaaa.",
    "prefixes of tokens": "soma_a-",
    "prefixes of keys": "sk-",
    "account numbers": "AA11 BBBB ",
    "account numbers in one word": "AA11BBBB",
    "phone numbers": "+1234567890123456789012345678901234x ",
    "short phone numbers": "+1 ",
    "area codes": "(234) ",
    "ids": "01234567-89ab-cdef-0123-456789abcdef",
    "percent escapes": "%41",
    "short percent escapes": "a%b ",
    "JSON escapes": "\\u0041",
    "hex": "4a",
    "words of base64": b64encode(_WORDS.encode()).decode() + " ",
    "schemes": "a+",
    "projects": "projects/",
    "host names": "a.",
    "credentials of URLs": "a://b:c",
    "bearers": "bearer ",
}


def main() -> None:
    """Redact each shape, and name it on standard output before."""
    for name, shape in SHAPES.items():
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        used = resource.getrusage(resource.RUSAGE_SELF)
        spent = int(used.ru_utime + used.ru_stime)
        resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_S, resource.RLIM_INFINITY))
        text = shape * (CHARS // len(shape)) + MARKS
        Redactor(limit=len(text)).text(text)
        RecordRedactor(limit=len(text)).text(text)
        redact(None, "info", {"event": text[: CHARS // 4]})


if __name__ == "__main__":
    main()
    sys.stdout.write("done\n")
