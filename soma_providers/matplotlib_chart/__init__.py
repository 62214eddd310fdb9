"""Charts by Matplotlib."""
