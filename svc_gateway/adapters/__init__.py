"""What the gateway reaches outside: descriptors, database, engines."""
