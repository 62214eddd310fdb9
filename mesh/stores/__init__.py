"""Where state lives: Postgres (the truth), Valkey (rebuildable), blobs (bytes)."""
