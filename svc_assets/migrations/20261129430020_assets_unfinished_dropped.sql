-- migrate:up transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_unfinished;

-- migrate:down transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_unfinished ON multimodal_assets (created_at)
    WHERE status = 'pending' OR (status = 'tombstoned' AND NOT bytes_erased);
