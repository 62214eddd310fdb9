-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_created ON api_keys (created_at, key_id);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS api_keys_created;
