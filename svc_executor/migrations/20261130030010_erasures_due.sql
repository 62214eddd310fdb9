-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY erased_assets_due ON erased_assets (continue_at) WHERE continue_at IS NOT NULL;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY erased_assets_due;
