-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY asset_provenance_deleted_by_tenant ON asset_provenance (tenant_id, deleted_at)
WHERE deleted_at IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY asset_provenance_deleted_by_tenant;
