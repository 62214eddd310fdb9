"""Whether anything costs more as tables grow: every RPC and every statement, with empty and with full tables."""
