"""What the gateway serves: its own API and the proxy's control plane."""
