-- migrate:up
-- For how many days a tenant's records are kept, where they are not the platform's own.
CREATE TABLE retention_terms (
    tenant_id         text PRIMARY KEY,
    receipts_days     integer NOT NULL CHECK (receipts_days BETWEEN 1 AND 3650),
    traces_days       integer NOT NULL CHECK (traces_days BETWEEN 1 AND 3650),
    audit_days        integer NOT NULL CHECK (audit_days BETWEEN 90 AND 3650),
    dead_letters_days integer NOT NULL CHECK (dead_letters_days BETWEEN 1 AND 3650),
    updated_by        text NOT NULL,
    updated_at        timestamptz NOT NULL
);
ALTER TABLE retention_terms ENABLE ROW LEVEL SECURITY;
ALTER TABLE retention_terms FORCE ROW LEVEL SECURITY;
CREATE POLICY retention_terms_tenant ON retention_terms
    USING (current_setting('soma.tenant_id', true) IN (tenant_id, '*'));
CREATE INDEX asset_provenance_deleted ON asset_provenance (deleted_at) WHERE deleted_at IS NOT NULL;

-- migrate:down
DROP INDEX asset_provenance_deleted;
DROP TABLE retention_terms;
