"""One module for each provider adapter; a manifest names its module, `create(context)` builds it."""
