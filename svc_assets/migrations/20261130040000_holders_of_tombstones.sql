-- migrate:up
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_assets ADD COLUMN holders_due_at timestamptz;
COMMENT ON COLUMN multimodal_assets.holders_due_at IS
    'When the next holders of a tombstone are to be removed; null once there are none.';

-- migrate:down
-- Holders that are left go with their tombstone, as its retention deletes it.
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_assets DROP COLUMN holders_due_at;
