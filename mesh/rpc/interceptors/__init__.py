"""The concerns around every call, one file each; `mesh.rpc.interceptor_chain` puts them in order."""
