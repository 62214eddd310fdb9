-- migrate:up
-- Entries that waited for their place in a chain and cannot be decoded: set aside, so that others need not wait behind
-- them. After the cause is repaired, they are put back with
--     WITH repaired AS (DELETE FROM audit_pending_failed RETURNING tenant_id, entry)
--     INSERT INTO audit_pending (tenant_id, entry) SELECT tenant_id, entry FROM repaired;
CREATE TABLE audit_pending_failed (
    id        bigint PRIMARY KEY,
    tenant_id text NOT NULL,
    entry     jsonb NOT NULL,
    error     text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE audit_pending_failed ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_pending_failed FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_pending_failed_tenant ON audit_pending_failed
    USING (CASE current_setting('soma.tenant_id', true)
        WHEN '*' THEN true ELSE current_setting('soma.tenant_id', true) = nullif(tenant_id, '') END);

-- migrate:down
DROP TABLE audit_pending_failed;
