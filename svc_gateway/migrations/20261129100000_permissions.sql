-- migrate:up
-- Constant defaults: no table is written anew.
ALTER TABLE tenants ADD COLUMN permissions jsonb NOT NULL DEFAULT '{}';
ALTER TABLE api_keys ADD COLUMN personas text[] NOT NULL DEFAULT '{}';
ALTER TABLE api_keys ADD COLUMN capsules text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN api_keys.personas IS 'Personas that calls with the key may name; empty: those of its tenant.';
COMMENT ON COLUMN api_keys.capsules IS 'Capsules that calls with the key may name; empty: those of its tenant.';

CREATE TABLE tenant_updates (
    request_id     text COLLATE "C" PRIMARY KEY,
    tenant_id      text NOT NULL,
    request_digest text NOT NULL,
    answer         jsonb NOT NULL,
    created_at     timestamptz NOT NULL
);
CREATE INDEX tenant_updates_age ON tenant_updates (created_at);
ALTER TABLE tenant_updates ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_updates FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenant_updates USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMENT ON TABLE tenant_updates IS 'Answers of UpdateTenant by request_id, so that a repeated request changes nothing.';

-- migrate:down
DROP TABLE tenant_updates;
ALTER TABLE api_keys DROP COLUMN capsules;
ALTER TABLE api_keys DROP COLUMN personas;
ALTER TABLE tenants DROP COLUMN permissions;
