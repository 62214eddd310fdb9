"""Redaction, shared with the contexts that send what is kept here."""

from __future__ import annotations

from mesh.redaction import SUMMARY_CHARS, Redactor, iban, luhn

__all__ = ["SUMMARY_CHARS", "Redactor", "iban", "luhn"]
