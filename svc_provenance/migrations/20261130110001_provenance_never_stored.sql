-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY asset_provenance_never_stored ON asset_provenance (asset_id)
WHERE asset_type IS NULL AND deleted_at IS NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY asset_provenance_never_stored;
