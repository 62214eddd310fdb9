-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY upload_requests_asset ON upload_requests (asset_id);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY upload_requests_asset;
