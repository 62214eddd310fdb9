-- migrate:up transaction:false
CREATE INDEX CONCURRENTLY multimodal_assets_swept ON multimodal_assets (sweep_after)
    WHERE status IN ('pending', 'erasing') OR (status = 'tombstoned' AND NOT bytes_erased);

-- migrate:down transaction:false
DROP INDEX CONCURRENTLY multimodal_assets_swept;
