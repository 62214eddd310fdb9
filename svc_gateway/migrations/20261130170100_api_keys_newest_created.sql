-- migrate:up transaction:false
-- With created_at, so that the keys which a tenant made lately are counted without reading them.
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_newest_created ON api_keys (tenant_id, key_id DESC) INCLUDE (created_at);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS api_keys_newest_created;
