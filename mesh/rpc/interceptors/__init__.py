"""The concerns around every call, one file each; `mesh.rpc.chain` puts them in order."""
