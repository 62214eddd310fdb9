"""The programs in `clients/` against the mesh that all end-to-end tests share."""
