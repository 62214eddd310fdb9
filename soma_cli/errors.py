"""What a command says when it cannot do what was asked."""

from __future__ import annotations


class CommandError(Exception):
    """A command failed; the text says why and what to do."""
