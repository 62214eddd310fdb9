-- migrate:up
CREATE TABLE multimodal_assets (
    asset_id       uuid PRIMARY KEY,
    tenant_id      text NOT NULL,
    asset_type     text NOT NULL,
    format         text NOT NULL,
    media_type     text NOT NULL,
    filename       text NOT NULL,
    size_bytes     bigint NOT NULL CHECK (size_bytes >= 0),
    checksum       text NOT NULL,
    classification text NOT NULL,
    status         text NOT NULL CHECK (status IN ('pending', 'ready', 'tombstoned')),
    storage_path   text NOT NULL,
    bytes_erased   boolean NOT NULL DEFAULT false,
    metadata       jsonb NOT NULL,
    parent_id      text NOT NULL,
    replaces_id    text NOT NULL,
    origin         jsonb NOT NULL,
    created_by     text NOT NULL,
    created_at     timestamptz NOT NULL,
    deleted_at     timestamptz
);
CREATE UNIQUE INDEX multimodal_assets_bytes ON multimodal_assets (tenant_id, checksum) WHERE status = 'ready';
CREATE INDEX multimodal_assets_newest ON multimodal_assets (tenant_id, asset_id DESC);
CREATE INDEX multimodal_assets_unfinished ON multimodal_assets (created_at)
    WHERE status = 'pending' OR (status = 'tombstoned' AND NOT bytes_erased);
ALTER TABLE multimodal_assets ENABLE ROW LEVEL SECURITY;
ALTER TABLE multimodal_assets FORCE ROW LEVEL SECURITY;
CREATE POLICY multimodal_assets_tenant ON multimodal_assets
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE asset_holders (
    tenant_id text NOT NULL,
    asset_id  uuid NOT NULL REFERENCES multimodal_assets ON DELETE CASCADE,
    holder    text NOT NULL,
    PRIMARY KEY (asset_id, holder)
);
COMMENT ON COLUMN asset_holders.holder IS 'A job, or "direct" for uploads by people.';
CREATE INDEX asset_holders_holder ON asset_holders (tenant_id, holder);
ALTER TABLE asset_holders ENABLE ROW LEVEL SECURITY;
ALTER TABLE asset_holders FORCE ROW LEVEL SECURITY;
CREATE POLICY asset_holders_tenant ON asset_holders USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE upload_requests (
    tenant_id  text NOT NULL,
    request_id text NOT NULL,
    asset_id   uuid NOT NULL REFERENCES multimodal_assets ON DELETE CASCADE,
    PRIMARY KEY (tenant_id, request_id)
);
ALTER TABLE upload_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE upload_requests FORCE ROW LEVEL SECURITY;
CREATE POLICY upload_requests_tenant ON upload_requests
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE VIEW attachments WITH (security_invoker = true) AS
SELECT a.* FROM multimodal_assets a
JOIN asset_holders h ON h.asset_id = a.asset_id AND h.holder = 'direct'
WHERE a.status = 'ready';

-- migrate:down
DROP VIEW attachments;
DROP TABLE upload_requests;
DROP TABLE asset_holders;
DROP TABLE multimodal_assets;
