"""Events of the selector."""
