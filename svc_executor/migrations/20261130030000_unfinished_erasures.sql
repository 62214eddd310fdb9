-- migrate:up
SET LOCAL lock_timeout = '10s';
ALTER TABLE erased_assets ADD COLUMN continue_at timestamptz;
COMMENT ON COLUMN erased_assets.continue_at IS
    'When the next jobs that keep a text of the asset are due; null once there are none.';

-- migrate:down
SET LOCAL lock_timeout = '10s';
ALTER TABLE erased_assets DROP COLUMN continue_at;
