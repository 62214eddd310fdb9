-- migrate:up transaction:false
DROP INDEX CONCURRENTLY asset_provenance_deleted;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY asset_provenance_deleted ON asset_provenance (deleted_at) WHERE deleted_at IS NOT NULL;
