"""What stands around every adapter, once: slots, deadline, circuits, retries, egress, child processes."""
