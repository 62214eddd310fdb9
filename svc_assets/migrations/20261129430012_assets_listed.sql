-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_listed ON multimodal_assets (tenant_id, status, asset_id DESC);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_listed;
