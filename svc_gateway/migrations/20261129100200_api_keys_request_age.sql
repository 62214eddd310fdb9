-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_keys_request_age ON api_keys (created_at) WHERE request_id IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS api_keys_request_age;
