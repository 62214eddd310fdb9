"""Keys and tenants in Postgres, under row-level security."""
