"""What the critic's ports are made of."""
