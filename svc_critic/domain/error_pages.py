"""Detection of pages that show an error, as opposed to pages about errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from svc_critic.domain.words import words

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_WORDS = 90
# Text recognition loses blanks, so blanks between words are optional.
_ERROR_TEXTS = re.compile(
    r"""
      (?<!\d)(?:4\d\d|50\d|52\d)(?!\d)\W{0,3}(?:error|not\W?found|forbidden|unauthori[sz]ed|bad\W?(?:gateway|request)|internal
        |service\W?(?:temporarily\W?)?unavailable|gateway\W?time\W?-?out|too\W?many)
    | \berror\W{0,3}(?:code\W{0,3})?(?:4\d\d|5\d\d)\b
    | (?:http|status)\W{0,3}(?:error\W{0,3})?(?:4\d\d|5\d\d)\b
    | page\W?(?:was\W?|could\W?|can\W?)?not\W?(?:be\W?)?found | page\W?(?:does\W?not|doesn\W?t)\W?exist
    | internal\W?server\W?error | bad\W?gateway | service\W?(?:temporarily\W?)?unavailable
    | this\W?(?:site|page)\W?(?:can\W?t|cannot)\W?be\W?reached | err_[a-z_]{4,} | dns_probe_[a-z_]+
    | refused\W?to\W?connect | connection\W?(?:was\W?)?(?:refused|reset|timed\W?out) | took\W?too\W?long\W?to\W?respond
    | your\W?connection\W?is\W?not\W?(?:private|secure) | server\W?not\W?found | unable\W?to\W?connect
    | application\W?error | something\W?went\W?wrong | an?\W?(?:unexpected\W?)?error\W?(?:has\W?)?occurred
    | access\W?denied | aw\W?\W?snap | traceback\W{0,3}most\W?recent | unhandled\W?(?:runtime\W?)?(?:error|exception)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def find_error_text(lines: Sequence[str]) -> str:
    """Returns the text that identifies a page as an error page; empty for other pages.

    On a page with more than `MAX_WORDS` words only the first three lines count: a long text may mention errors.
    """
    full = " ".join(lines)
    searched = full if len(words(full)) <= MAX_WORDS else " ".join(lines[:3])
    match = _ERROR_TEXTS.search(searched)
    return match.group(0) if match else ""
