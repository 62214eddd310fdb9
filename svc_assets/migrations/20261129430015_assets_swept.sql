-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_swept ON multimodal_assets (coalesce(sweep_after, created_at))
    WHERE status IN ('pending', 'erasing') OR (status = 'tombstoned' AND NOT bytes_erased);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_swept;
