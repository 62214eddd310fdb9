-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY asset_provenance_erased ON asset_provenance (tenant_id, deleted_at)
WHERE deleted_at IS NOT NULL AND generation_params IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY asset_provenance_erased;
