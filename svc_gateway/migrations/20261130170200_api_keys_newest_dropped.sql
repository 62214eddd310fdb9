-- migrate:up transaction:false
DROP INDEX CONCURRENTLY IF EXISTS api_keys_newest;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_newest ON api_keys (tenant_id, key_id DESC);
