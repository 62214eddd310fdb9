-- migrate:up
SET LOCAL lock_timeout = '10s';
-- Assets that are gone: a verdict that is recorded after the erasure of its asset must not quote it.
CREATE TABLE erased_assets (
    tenant_id text NOT NULL,
    asset_id text NOT NULL,
    erased_at timestamptz NOT NULL,
    continue_at timestamptz,
    continue_after uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    PRIMARY KEY (tenant_id, asset_id)
);
COMMENT ON COLUMN erased_assets.continue_at IS
    'When the next evaluations that may quote the asset are due; null once there are none.';
COMMENT ON COLUMN erased_assets.continue_after IS 'Evaluations of the asset up to this one quote it no longer.';
CREATE INDEX erased_assets_age ON erased_assets (erased_at);
CREATE INDEX erased_assets_due ON erased_assets (continue_at) WHERE continue_at IS NOT NULL;
ALTER TABLE erased_assets ENABLE ROW LEVEL SECURITY;
ALTER TABLE erased_assets FORCE ROW LEVEL SECURITY;
CREATE POLICY erased_assets_tenant ON erased_assets
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- migrate:down
DROP TABLE erased_assets;
