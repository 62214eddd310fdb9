-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS tenants_request_age ON tenants (created_at) WHERE request_id IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS tenants_request_age;
