-- migrate:up transaction:false
DROP INDEX CONCURRENTLY asset_provenance_unheard;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY asset_provenance_unheard ON asset_provenance (asset_id) WHERE asset_type IS NULL;
