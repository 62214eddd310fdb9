"""What the adapters of remote providers share: calling, keys, and the meaning of answers."""
