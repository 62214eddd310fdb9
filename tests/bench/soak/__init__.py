"""What hostile tenants do to an innocent one: latencies beside each other, for as long as wanted."""
