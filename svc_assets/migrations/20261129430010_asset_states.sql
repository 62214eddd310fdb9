-- migrate:up
-- Constant defaults and columns without one need no rewrite.
ALTER TABLE multimodal_assets
    ADD COLUMN content bytea,
    ADD COLUMN job_id text NOT NULL DEFAULT '',
    ADD COLUMN sweep_after timestamptz,
    ADD CONSTRAINT multimodal_assets_states
        CHECK (status IN ('pending', 'ready', 'erasing', 'tombstoned')) NOT VALID,
    DROP CONSTRAINT multimodal_assets_status_check;
-- Rows of replicas of the version before, which do not set it.
ALTER TABLE multimodal_assets ALTER COLUMN sweep_after SET DEFAULT now() + interval '1 day';
ALTER TABLE multimodal_assets ALTER COLUMN content SET STORAGE EXTERNAL;
-- Few rows, found by an index.
UPDATE multimodal_assets SET sweep_after = now() + interval '1 day'
WHERE status = 'pending' OR (status = 'tombstoned' AND NOT bytes_erased);
COMMENT ON COLUMN multimodal_assets.content IS 'Bytes of a small asset; null when they are in the blob store.';
COMMENT ON COLUMN multimodal_assets.job_id IS 'The job that made it; empty: an upload.';
COMMENT ON COLUMN multimodal_assets.sweep_after IS
    'When the sweep looks at a row whose bytes are to go; null in ready rows older than the column.';
COMMENT ON COLUMN multimodal_assets.status IS
    'pending: bytes may be on their way; erasing: bytes are to be deleted, then the row; tombstoned: a record is left.';

ALTER TABLE asset_holders ADD COLUMN subject text NOT NULL DEFAULT '';
COMMENT ON COLUMN asset_holders.holder IS
    'A job; "@" and a subject; or "direct" for uploads by people before subjects were told apart.';
COMMENT ON COLUMN asset_holders.subject IS 'Who took hold; empty in rows older than the column.';

ALTER TABLE upload_requests
    ADD COLUMN checksum text NOT NULL DEFAULT '',
    ADD COLUMN holder text NOT NULL DEFAULT '',
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN upload_requests.checksum IS 'SHA-256 of the body; empty in rows older than the column.';

CREATE TABLE blob_sweeps (
    name         text PRIMARY KEY,
    store_id     uuid NOT NULL DEFAULT gen_random_uuid(),
    cursor       text NOT NULL DEFAULT '',
    leased_until timestamptz NOT NULL DEFAULT '-infinity',
    finished_at  timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE blob_sweeps IS 'How far the listing of the blob store has been compared with the rows.';
COMMENT ON COLUMN blob_sweeps.store_id IS 'Written into the blob store: a store of another mesh is never swept.';
INSERT INTO blob_sweeps (name) VALUES ('blobs');

CREATE OR REPLACE VIEW attachments WITH (security_invoker = true) AS
SELECT a.asset_id, a.tenant_id, a.asset_type, a.format, a.media_type, a.filename, a.size_bytes, a.checksum,
       a.classification, a.status, a.storage_path, a.bytes_erased, a.metadata, a.parent_id, a.replaces_id, a.origin,
       a.created_by, a.created_at, a.deleted_at
FROM multimodal_assets a
WHERE a.status = 'ready'
  AND EXISTS (SELECT 1 FROM asset_holders h
              WHERE h.asset_id = a.asset_id AND (h.holder = 'direct' OR starts_with(h.holder, '@')));

-- migrate:down
CREATE OR REPLACE VIEW attachments WITH (security_invoker = true) AS
SELECT a.asset_id, a.tenant_id, a.asset_type, a.format, a.media_type, a.filename, a.size_bytes, a.checksum,
       a.classification, a.status, a.storage_path, a.bytes_erased, a.metadata, a.parent_id, a.replaces_id, a.origin,
       a.created_by, a.created_at, a.deleted_at
FROM multimodal_assets a
JOIN asset_holders h ON h.asset_id = a.asset_id AND h.holder = 'direct'
WHERE a.status = 'ready';
DROP TABLE blob_sweeps;
ALTER TABLE upload_requests DROP COLUMN created_at, DROP COLUMN holder, DROP COLUMN checksum;
INSERT INTO asset_holders (tenant_id, asset_id, holder)
SELECT DISTINCT tenant_id, asset_id, 'direct' FROM asset_holders WHERE starts_with(holder, '@')
ON CONFLICT DO NOTHING;
DELETE FROM asset_holders WHERE starts_with(holder, '@');
ALTER TABLE asset_holders DROP COLUMN subject;
UPDATE multimodal_assets SET status = 'pending' WHERE status = 'erasing';
ALTER TABLE multimodal_assets
    DROP CONSTRAINT multimodal_assets_states,
    ADD CONSTRAINT multimodal_assets_status_check CHECK (status IN ('pending', 'ready', 'tombstoned')),
    DROP COLUMN sweep_after,
    DROP COLUMN job_id,
    DROP COLUMN content;
