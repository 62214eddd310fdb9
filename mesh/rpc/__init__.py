"""gRPC in both directions: one interceptor chain for servers, one kind of channel for clients."""
