-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_revoked_lately ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS api_keys_revoked_lately;
