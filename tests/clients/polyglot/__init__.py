"""The programs in `clients/`, as `make clients` builds them."""
