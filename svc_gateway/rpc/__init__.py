"""The gateway's servicers, and the control plane of the proxies."""
