-- migrate:up transaction:false
-- Late revocations were read by it, all revoked keys each time; the revoked keys are now read by api_keys_revoked_lately.
DROP INDEX CONCURRENTLY IF EXISTS api_keys_revoked;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_revoked ON api_keys (expires_at) WHERE revoked_at IS NOT NULL;
