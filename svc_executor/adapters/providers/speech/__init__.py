"""Speech made by libraries that run in a process of their own."""
