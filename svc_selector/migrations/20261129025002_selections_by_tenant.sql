-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY IF NOT EXISTS selections_tenant ON selections (tenant_id, selection_id DESC);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY IF EXISTS selections_tenant;
