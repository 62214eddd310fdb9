-- migrate:up
CREATE TABLE tenants (
    tenant_id      text COLLATE "C" PRIMARY KEY,
    display_name   text NOT NULL,
    plan           text NOT NULL,
    created_at     timestamptz NOT NULL,
    request_id     text UNIQUE,
    request_digest text NOT NULL
);
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON tenants USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));

CREATE TABLE api_keys (
    key_id         text COLLATE "C" PRIMARY KEY,
    tenant_id      text NOT NULL,
    display_name   text NOT NULL,
    subject        text NOT NULL,
    roles          text[] NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    created_by     text NOT NULL,
    revoked_at     timestamptz,
    request_id     text,
    request_digest text NOT NULL,
    UNIQUE (tenant_id, request_id)
);
CREATE INDEX api_keys_newest ON api_keys (tenant_id, key_id DESC);
CREATE INDEX api_keys_revoked ON api_keys (expires_at) WHERE revoked_at IS NOT NULL;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON api_keys USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
COMMENT ON TABLE api_keys IS 'What is known of each key; the secret is a signature and is stored nowhere.';

-- migrate:down
DROP TABLE api_keys;
DROP TABLE tenants;
