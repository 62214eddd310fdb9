"""Documents, by the library `soma_documents`."""
