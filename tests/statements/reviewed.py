"""Statements that read more than their key names, each with the reason why that does not grow without bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REVIEWED: Mapping[str, str] = {}
