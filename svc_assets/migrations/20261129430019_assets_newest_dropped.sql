-- migrate:up transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_newest;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_newest ON multimodal_assets (tenant_id, asset_id DESC);
