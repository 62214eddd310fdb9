"""Ledger, decisions and peers of the selector."""
