"""URL path templates of `google.api.http`: parsed once, turned into what the edge matches."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SEGMENT = re.compile(r"\{(?P<field>[a-z0-9_.]+)(?:=(?P<pattern>[^}]+))?\}|(?P<text>[^/{}]+)")
_ONE = "[^/]+"
_MANY = ".+"


@dataclass(frozen=True)
class Segment:
    """One part between slashes: literal text, or a variable that fills a request field."""

    text: str = ""
    field: str = ""
    pattern: str = "*"

    @property
    def regex(self) -> str:
        """What the segment matches, as an RE2 expression."""
        if not self.field:
            return re.escape(self.text)
        parts = (
            _MANY if part == "**" else _ONE if part == "*" else re.escape(part) for part in self.pattern.split("/")
        )
        return "/".join(parts)


@dataclass(frozen=True)
class Template:
    """A path such as `/v1/jobs/{job_id}:cancel`; `verb` is what follows the last colon."""

    text: str
    segments: tuple[Segment, ...]
    verb: str = ""

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template; ValueError when it is not one."""
        path, verb = _split_verb(text)
        if not path.startswith("/"):
            raise ValueError(f"path template {text!r} does not start with a slash")
        return cls(text, tuple(_segment(part, text) for part in _split(path[1:])), verb)

    @property
    def literal(self) -> bool:
        """Whether it has no variables."""
        return not self.fields

    @property
    def fields(self) -> tuple[str, ...]:
        """The request fields that it fills, in order."""
        return tuple(segment.field for segment in self.segments if segment.field)

    @property
    def regex(self) -> str:
        """The whole path as an RE2 expression; equal for templates that match the same paths."""
        return "/" + "/".join(segment.regex for segment in self.segments) + (f":{self.verb}" if self.verb else "")


def _split_verb(text: str) -> tuple[str, str]:
    head, colon, verb = text.rpartition(":")
    return (head, verb) if colon and "/" not in verb and "}" not in verb else (text, "")


def _split(path: str) -> list[str]:
    """Split at slashes outside braces."""
    parts, depth = [""], 0
    for char in path:
        depth += (char == "{") - (char == "}")
        if char == "/" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts


def _segment(part: str, template: str) -> Segment:
    match = _SEGMENT.fullmatch(part)
    if match is None:
        raise ValueError(f"path template {template!r} has a bad segment {part!r}")
    if match["field"]:
        return Segment(field=match["field"], pattern=match["pattern"] or "*")
    return Segment(text=match["text"])
