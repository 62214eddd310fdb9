"""The methods of each service."""
