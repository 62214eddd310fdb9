"""One machine: engines, services and the edge as programs, what they need, and where programs are found."""
