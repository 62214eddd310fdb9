"""Redacts internals of the platform from texts, beside personal data and secrets."""

from __future__ import annotations

import re

from mesh.redaction import SUMMARY_CHARS, Redactor

_PRIVATE = (
    r"(?:localhost|127(?:\.\d{1,3}){3}|10(?:\.\d{1,3}){3}|192\.168(?:\.\d{1,3}){2}|169\.254(?:\.\d{1,3}){2}"
    r"|172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2}|\[::1\]"
    r"|(?:[A-Za-z0-9-]+\.)+(?:internal|intranet|lan|svc|cluster\.local))"
)
_TEXT_END = r"[^\s\"'<>()\[\],;]"
_LAST = r"[^\s\"'<>()\[\],;:.]"
_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (
            "endpoint",
            rf"(?:\b[a-z][a-z0-9+]{{0,31}}://(?:[^\s/@]+@)?|(?<![\w.@-])){_PRIVATE}(?![\w-])(?::\d+)?(?:/(?:{_TEXT_END}*{_LAST})?)?",
        ),
        ("model", rf"\bft:{_TEXT_END}*{_LAST}"),
        ("model", rf"\barn:aws[a-z-]*:{_TEXT_END}+"),
        ("model", rf"\bprojects/{_TEXT_END}{{1,128}}?/locations/{_TEXT_END}+"),
        ("path", rf"(?<![\w:/.~])/(?:home|root|usr|var|etc|opt|srv|tmp|mnt|run|proc|app|Users)/{_TEXT_END}+"),
    )
)


class RecordRedactor(Redactor):
    """Redacts personal data, secrets, and private endpoints, internal model ids and paths of machines.

    It does not shorten texts: `SummaryRedactor` does, where policy does not allow full prompts.
    """

    def scan(self, value: str) -> str:
        """Returns the text with each match replaced by `[kind]`."""
        for kind, pattern in _KINDS:
            value, count = pattern.subn(f"[{kind}]", value)
            if count:
                self.counts[kind] += count
        return super().scan(value)


class SummaryRedactor(RecordRedactor):
    """Redacts, and shortens long texts."""

    def text(self, value: str) -> str:
        """Returns the redacted text, at most as long as a summary."""
        redacted = super().text(value)
        return redacted if len(redacted) <= SUMMARY_CHARS else redacted[: SUMMARY_CHARS - 1] + "…"
