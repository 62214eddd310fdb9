-- migrate:up
-- Without a default, so that no row is written anew: rows are counted when their holders next change.
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_assets ADD COLUMN holders bigint;
COMMENT ON COLUMN multimodal_assets.holders IS
    'Rows of asset_holders that name it, kept by triggers of that table; null: they have not changed since the column.';

-- migrate:down
SET LOCAL lock_timeout = '10s';
ALTER TABLE multimodal_assets DROP COLUMN holders;
