-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_typed
    ON multimodal_assets (tenant_id, asset_type, status, asset_id DESC);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_typed;
