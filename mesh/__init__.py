"""The chassis that every context stands on."""

import os

# gRPC's fork handlers run in every child before it becomes another program, and now and then end it there. Children
# of ours never go on as Python. gRPC reads this when it is first imported, and everything imports this package first.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
