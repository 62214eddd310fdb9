-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_tombstoned ON multimodal_assets (deleted_at)
    WHERE status = 'tombstoned' AND bytes_erased;

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_tombstoned;
