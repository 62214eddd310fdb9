"""What notes reach outside."""
